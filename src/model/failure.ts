import { EXIT } from '../lib/exit-code.ts';
import { UserError } from '../lib/user-error.ts';

/** Whether time alone may cure it, or somebody must act. Both are retried for ever, the second slowly. */
export type FailureKind = 'transient' | 'needs-human';

interface FailureEntry {
  readonly kind: FailureKind;
  readonly title: string;
  readonly hint: string;
}

/** Every way in which a tunnel can fail. Status, logs, doctor, tests and documents use these codes and no others. */
export const FAILURES = {
  'network-down': {
    kind: 'transient',
    title: 'no network',
    hint: 'Neither the addresses under network.ping nor the server answer. Check cable, Wi-Fi and router; the tunnel comes back by itself.',
  },
  'dns-failed': {
    kind: 'transient',
    title: "the server's name could not be resolved",
    hint: 'Check the spelling of host and the DNS server of the device (`getent hosts NAME`).',
  },
  'connect-refused': {
    kind: 'transient',
    title: 'the server refused the TCP connection',
    hint: 'Nothing listens on that port: check port, and that sshd runs on the server.',
  },
  'connect-timeout': {
    kind: 'transient',
    title: 'the server did not answer',
    hint: "Check host, port and the server's firewall; a slow link may need a larger connectTimeout.",
  },
  unreachable: {
    kind: 'transient',
    title: 'no route to the server',
    hint: "Check the device's network and routes, and addressFamily if the server has IPv6 addresses.",
  },
  'proxy-failed': {
    kind: 'transient',
    title: 'what lies on the way did not let us through',
    hint: 'Check the address and the credentials of the proxy, the proxyCommand, or that the server of proxyJump opens connections for us (AllowTcpForwarding, permitopen).',
  },
  'handshake-failed': {
    kind: 'transient',
    title: 'the SSH handshake failed',
    hint: "Check that host and port lead to an SSH server, and read the server's log (a full MaxStartups or a ban drops connections here).",
  },
  'no-common-algorithm': {
    kind: 'needs-human',
    title: 'client and server have no algorithm in common',
    hint: 'Widen ciphers, kexAlgorithms, macs or hostKeyAlgorithms here (+NAME adds one) or on the server; a short RSA key needs a longer one there.',
  },
  'host-key-unknown': {
    kind: 'needs-human',
    title: "the server's host key is not known",
    hint: 'Run `sudo tunneld trust NAME` with the name of the tunnel (without sudo where it is no service): it shows the key, to be compared with the server (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), and adds it to userKnownHostsFile.',
  },
  'host-key-changed': {
    kind: 'needs-human',
    title: "the server's host key is not the known one",
    hint: 'Somebody may be listening in, or the server was set up anew. If it was, `sudo tunneld trust NAME` with the name of the tunnel (without sudo where it is no service) shows the new key, to be compared with the server, and replaces the old one.',
  },
  'host-key-revoked': {
    kind: 'needs-human',
    title: "the server's host key is revoked",
    hint: 'The key is marked @revoked in known_hosts, or on a list of revokedHostKeys: give the server a new host key. While such a list cannot be read, every key counts as revoked.',
  },
  'key-unreadable': {
    kind: 'needs-human',
    title: 'there is no private key that can be used',
    hint: 'Check that identityFile (or the passphraseFile or passwordFile named above) exists, has mode 0600 and belongs to the user that runs tunneld; in /etc/tunneld of an installed service to root, and `sudo tunneld reload` after a new one.',
  },
  'key-passphrase': {
    kind: 'needs-human',
    title: 'the private key is encrypted and its passphrase is missing or wrong',
    hint: 'Put the passphrase in a file of mode 0600 and name it as passphraseFile, or load the key into an agent.',
  },
  'auth-rejected': {
    kind: 'needs-human',
    title: 'the server accepted none of our keys',
    hint: "Check user, and that the public key is in that user's authorized_keys on the server.",
  },
  'forward-refused': {
    kind: 'transient',
    title: 'a forward was refused',
    hint: 'The port is in use (here `ss -ltnp` tells by whom; on the server perhaps by a dead connection of ours), or the rules of the server forbid it (AllowTcpForwarding, permitlisten, permitopen, GatewayPorts). A listener is asked for again on this connection.',
  },
  'keepalive-lost': {
    kind: 'transient',
    title: 'the server stopped answering',
    hint: 'The connection was silently gone; the tunnel reconnects by itself.',
  },
  disconnected: {
    kind: 'transient',
    title: 'the connection was closed',
    hint: "The server or something between closed it; the server's log may say why.",
  },
  'target-unreachable': {
    kind: 'transient',
    title: 'the target does not accept connections',
    hint: 'Check that the service behind the forward runs and listens on that address: on the device, or for a local forward where the server finds it.',
  },
  internal: {
    kind: 'transient',
    title: 'a bug in tunneld',
    hint: 'Please report it with the log lines around it.',
  },
} as const satisfies Record<string, FailureEntry>;

export type FailureCode = keyof typeof FAILURES;

/** Why an attempt or a connection ended. The message says what happened and where; it is safe to print. */
export class TunnelFailure extends UserError {
  readonly code: FailureCode;
  /** What to do about it. */
  readonly hint: string;

  /** `hint` is for a finding that the table's does not fit; a cause with the same code passes its own on. */
  constructor(code: FailureCode, message: string, options?: ErrorOptions & { readonly hint?: string }) {
    super(message, EXIT.failed, options);
    this.name = 'TunnelFailure';
    this.code = code;
    const cause = options?.cause;
    const hint = cause instanceof TunnelFailure && cause.code === code ? cause.hint : FAILURES[code].hint;
    this.hint = options?.hint ?? hint;
  }

  override get lines(): readonly string[] {
    return [`tunneld: ${this.message}. ${this.hint}`];
  }

  get kind(): FailureKind {
    return FAILURES[this.code].kind;
  }
}

/** A hint, with the name of the tunnel that it is about in the commands to be pasted. */
export function hintFor(tunnel: string, hint: string): string {
  return hint.replace(/(`(?:sudo )?tunneld [a-z-]+ )NAME\b([^`]*`)(?: with the name of the tunnel)?/g, `$1${tunnel}$2`);
}

/** Anything that was thrown, as a failure: what no adapter translated is a bug of ours. */
export function asFailure(error: unknown): TunnelFailure {
  if (error instanceof TunnelFailure) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new TunnelFailure('internal', text, { cause: error });
}
