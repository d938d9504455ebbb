import { EXIT } from '../lib/exit-code.ts';
import { errorText } from '../lib/text.ts';
import { UserError } from '../lib/user-error.ts';

/** Whether it may pass by itself, or a person must act. Both are retried for ever, the second slowly. */
export type FailureKind = 'transient' | 'needs-human';

/** Every way in which a tunnel can fail. Status, logs, doctor, tests and documents use these codes and no others. */
export const FAILURES = {
  'network-down': {
    kind: 'transient',
    title: 'no network',
    hint: 'Neither the server nor an address of network.ping answers: check cable, Wi-Fi and router. The tunnel reconnects by itself.',
  },
  'dns-failed': {
    kind: 'transient',
    title: "the server's name could not be resolved",
    hint: 'Check the spelling of host, and the DNS server of the device (`getent hosts NAME`).',
  },
  'connect-refused': {
    kind: 'transient',
    title: 'the server refused the TCP connection',
    hint: 'Nothing listens on that port: check port, and whether sshd runs on the server.',
  },
  'connect-timeout': {
    kind: 'transient',
    title: 'the server did not answer',
    hint: "Check host, port and the server's firewall; a slow link may need a longer connectTimeout.",
  },
  unreachable: {
    kind: 'transient',
    title: 'no route to the server',
    hint: 'Check the network and the routes of the device, and addressFamily if the server has IPv6 addresses.',
  },
  'proxy-failed': {
    kind: 'transient',
    title: 'a proxy or jump host refused the connection',
    hint: 'Check the address and the credentials of the proxy, the proxyCommand, or the rules of the proxyJump server (AllowTcpForwarding, permitopen).',
  },
  'handshake-failed': {
    kind: 'transient',
    title: 'the SSH handshake failed',
    hint: 'Check that host and port lead to an SSH server, and read its log (MaxStartups or a ban drops connections here).',
  },
  'no-common-algorithm': {
    kind: 'needs-human',
    title: 'client and server have no algorithm in common',
    hint: 'Allow more ciphers, kexAlgorithms, macs or hostKeyAlgorithms here (+NAME adds one; an old server may need hostKeyAlgorithms: +ssh-rsa) or on the server; replace a host key of the server that is a short RSA key.',
  },
  'host-key-unknown': {
    kind: 'needs-human',
    title: "the server's host key is unknown",
    hint: 'Run `sudo tunneld trust NAME` with the name of the tunnel (without sudo where it is no service): it shows the key, for you to compare with the one on the server (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), and adds it to userKnownHostsFile.',
  },
  'host-key-changed': {
    kind: 'needs-human',
    title: "the server's host key has changed",
    hint: 'This is an attack, or the server was reinstalled. In the second case `sudo tunneld trust NAME` with the name of the tunnel (without sudo where it is no service) shows the new key, for you to compare with the one on the server, and replaces the old one.',
  },
  'host-key-revoked': {
    kind: 'needs-human',
    title: "the server's host key is revoked",
    hint: 'The key, or the authority of its certificate, is marked @revoked in known_hosts, or is on a list of revokedHostKeys: give the server a new host key or certificate. While such a list cannot be read, every key counts as revoked.',
  },
  'key-unreadable': {
    kind: 'needs-human',
    title: 'no private key can be used',
    hint: 'Check that identityFile (or the passphraseFile or passwordFile named above) exists, has mode 0600 and belongs to the user that runs tunneld. In /etc/tunneld of an installed service it belongs to root; run `sudo tunneld reload` after a new one.',
  },
  'key-passphrase': {
    kind: 'needs-human',
    title: 'the private key is encrypted and its passphrase is missing or wrong',
    hint: 'Write the passphrase to a file of mode 0600 and set passphraseFile to it, or load the key into an agent.',
  },
  'auth-rejected': {
    kind: 'needs-human',
    title: 'the server accepted none of our keys',
    hint: 'Check user, whether the public key is in the authorized_keys of that user on the server, and that the account is neither locked nor expired.',
  },
  'forward-refused': {
    kind: 'transient',
    title: 'a forward was refused',
    hint: 'The port is in use (here `ss -ltnp` shows by what; on the server perhaps by a dead connection of ours), or the rules of the server forbid it (AllowTcpForwarding, permitlisten, permitopen, GatewayPorts), as sshd does by itself while the password of the user has expired (`sudo chage -l USER`). The listener is requested again on this connection.',
  },
  'keepalive-lost': {
    kind: 'transient',
    title: 'the server stopped answering',
    hint: 'The connection was lost without notice; the tunnel reconnects by itself.',
  },
  disconnected: {
    kind: 'transient',
    title: 'the connection was closed',
    hint: "The server or a firewall on the way closed it; the server's log may say why. The tunnel reconnects by itself.",
  },
  'target-unreachable': {
    kind: 'transient',
    title: 'the target does not accept connections',
    hint: 'Check that the service behind the forward runs and listens at that address: on the device, or for a local forward as seen from the server.',
  },
  internal: {
    kind: 'transient',
    title: 'a bug in tunneld',
    hint: 'Please report it with the log lines around it.',
  },
} as const satisfies Record<string, { kind: FailureKind; title: string; hint: string }>;

export type FailureCode = keyof typeof FAILURES;

/**
 * The reason for which an attempt or a connection ended. The message says what happened and where; it is safe to print.
 */
export class TunnelFailure extends UserError {
  readonly code: FailureCode;
  /** What to do about it. */
  readonly hint: string;

  /** `hint` is for a finding that the table's does not fit; by default a cause with the same code passes its own on. */
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

/** A hint with the name of its tunnel in the commands to paste. */
export function hintFor(tunnel: string, hint: string): string {
  return hint.replace(/(`(?:sudo )?tunneld [a-z-]+ )NAME\b([^`]*`)(?: with the name of the tunnel)?/g, `$1${tunnel}$2`);
}

/** Anything thrown, as a failure: an error that no adapter has translated is a bug of ours. */
export function asFailure(error: unknown): TunnelFailure {
  if (error instanceof TunnelFailure) return error;
  return new TunnelFailure('internal', errorText(error), { cause: error });
}
