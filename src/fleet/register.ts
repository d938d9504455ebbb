import { fingerprint } from '../connection/known-hosts/key-blob.ts';
import { printable } from '../lib/text.ts';
import { FAILOVER_MARK } from '../server-rules/server-setup.ts';

/** One key of the register: a line of a file in authorized_keys.d. */
export interface RegisteredKey {
  readonly user: string;
  /** What it may listen on; none where it may not listen on a port. */
  readonly listens: readonly { readonly host: string; readonly port: number }[];
  readonly fingerprint: string;
  readonly comment: string;
  /** The device, from the comment that `init` gives its keys; else the whole comment, or the user. */
  readonly device: string;
  /** Whether its tunnel is at one of several servers at a time. */
  readonly failsOver: boolean;
  /** The port at which the device's SSH server is reached, and its host key's fingerprint, where the setup recorded them. */
  readonly hostKey: { readonly port: number; readonly fingerprint: string } | null;
}

/** Null for a line without a key. Everything in it is safe to print. */
export function readRegisteredKey(user: string, line: string): RegisteredKey | null {
  const [, options = '', base64 = '', rest = ''] = LINE.exec(line) ?? [];
  if (base64 === '') return null;
  const recorded = HOST_KEY.exec(rest);
  const marked = rest.replace(HOST_KEY, '').replaceAll(KEY_MARK, '').trim();
  // A key without a comment has the mark in its place.
  const failsOver = marked === FAILOVER_MARK || marked.endsWith(` ${FAILOVER_MARK}`);
  const comment = printable(failsOver ? marked.slice(0, -FAILOVER_MARK.length).trim() : marked, 80);
  const listens = [...options.matchAll(LISTEN)].map(([, host = '*', port]) => ({
    host: printable(host, 60),
    port: Number(port),
  }));
  return {
    user: printable(user, 40),
    listens,
    fingerprint: fingerprint(Buffer.from(base64, 'base64')),
    comment,
    device: /^tunneld \S+ of (\S+)$/.exec(comment)?.[1] ?? (comment || printable(user, 40)),
    failsOver,
    hostKey: recorded === null ? null : { port: Number(recorded[1]), fingerprint: recorded[2]! },
  };
}

/** sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
const LINE = /^(.*?)(?:^|\s)(?:ssh-[\w@.-]+|ecdsa-[\w@.-]+|sk-[\w@.-]+) (AAAA[\w+/=]+)(?:\s+(.*))?$/;
const LISTEN = /permitlisten="(?:([^"]*):)?(\d{1,5})"/g;

/** At the end of the comment of a line (keyLine() of server-rules): of the device's host key, and of the keys that an authority certifies. */
const HOST_KEY = /\bhost-key:(\d{1,5})=(SHA256:[\w+/]{43})\s*$/;
const KEY_MARK = /(?:^|\s)key:SHA256:[\w+/]{43}(?=\s|$)/g;
