import { fingerprint } from '../connection/known-hosts/key-blob.ts';
import { groupBy } from '../lib/maps.ts';
import { printable } from '../lib/text.ts';
import { SPARE_FILE } from '../server-rules/server-setup.ts';
import { readRegisteredKey, type RegisteredKey } from './register.ts';

/** What the script found on a server. */
export interface FleetFacts {
  readonly asRoot: boolean;
  /** Of the server's clock, in milliseconds since 1970. */
  readonly nowMs: number;
  readonly keys: readonly RegisteredKey[];
  /** Files of the register that this login may not read. */
  readonly hiddenFiles: number;
  /** When the file of a user was last written. */
  readonly madeMs: ReadonlyMap<string, number>;
  readonly uids: ReadonlyMap<string, number>;
  readonly listeners: readonly Listener[];
  readonly connections: readonly Connection[];
  readonly processes: ReadonlyMap<number, { readonly uid: number; readonly ageMs: number; readonly name: string }>;
  readonly seenMs: ReadonlyMap<string, number>;
  /** When the log begins; null where there is none to be read. */
  readonly logBeginsMs: number | null;
  /** The host keys of sshd, and when their files were made. */
  readonly hostKeys: readonly {
    readonly type: string;
    readonly fingerprint: string;
    readonly madeMs: number;
    /** Made as the spare one. */
    readonly isSpare: boolean;
  }[];
  /** When sshd began to listen, by its log: at each start and each reload, the oldest first. */
  readonly listeningMs: readonly number[];
  readonly problems: readonly string[];
}

interface Owned {
  /** Empty where this login may not see it. */
  readonly pids: readonly number[];
  /** The name of the program; empty where it may not be seen. */
  readonly program: string;
}

export interface Listener extends Owned {
  readonly host: string;
  readonly port: number;
}

interface Connection extends Owned {
  readonly localPort: number;
  readonly peerHost: string;
}

/** Null where the answer is not whole. */
export function readFacts(text: string): FleetFacts | null {
  const lines = text.split('\n').map((line) => line.split('\t'));
  const byWord = groupBy(lines, ([word = '']) => word);
  const all = (word: string) => (byWord.get(word) ?? []).map(([, ...values]) => values);
  const one = (word: string) => all(word)[0]?.[0] ?? null;
  if (one('end') === null) return null;
  const nowMs = orNull(Number(one('now')) * 1000);
  if (nowMs === null) return null;
  const numbers = (word: string) =>
    new Map(all(word).map(([user = '', number]) => [printable(user, 40), Number(number)] as const));
  const log = one('log');
  return {
    asRoot: one('uid') === '0',
    nowMs,
    keys: all('key').flatMap(([user = '', ...line]) => readRegisteredKey(user, line.join('\t')) ?? []),
    hiddenFiles: Number(one('hidden') ?? 0),
    madeMs: new Map([...numbers('made')].map(([user, seconds]) => [user, seconds * 1000])),
    uids: numbers('user'),
    listeners: all('listen').map(([local = '', owners = '']) => ({ ...readAddress(local), ...readOwners(owners) })),
    connections: all('open').map(([local = '', peer = '', owners = '']) => ({
      localPort: readAddress(local).port,
      peerHost: readAddress(peer).host,
      ...readOwners(owners),
    })),
    processes: new Map(
      all('process').flatMap(([pid, uid, age, name = '']) => {
        const ageMs = Number(age) * 1000;
        const isPossible = orNull(nowMs - ageMs) !== null;
        return isPossible ? [[Number(pid), { uid: Number(uid), ageMs, name: printable(name, 40) }] as const] : [];
      }),
    ),
    seenMs: new Map(
      all('seen').flatMap(([user = '', time = '']) => {
        const ms = readTime(time, nowMs);
        return ms === null ? [] : [[user, ms] as const];
      }),
    ),
    logBeginsMs: log === null ? null : readTime(log, nowMs),
    hostKeys: all('hostkey').flatMap(([seconds, line = '', file = '']) => {
      const [, type = '', base64 = ''] = /^([\w@.-]+) ([\w+/]+=*)$/.exec(line) ?? [];
      const madeMs = orNull(Number(seconds) * 1000);
      if (base64 === '' || madeMs === null) return [];
      return [{ type, fingerprint: fingerprint(Buffer.from(base64, 'base64')), madeMs, isSpare: file === SPARE_FILE }];
    }),
    listeningMs: all('listening')
      .flatMap(([time = '']) => readTime(time, nowMs) ?? [])
      .toSorted((a, b) => a - b),
    problems: all('problem').map(([problem = '']) => printable(problem)),
  };
}

/** As ss prints it: `127.0.0.1:22`, `[::1]:22`, `*:22`, `10.0.0.1%eth0:22`. */
function readAddress(text: string): { readonly host: string; readonly port: number } {
  const at = text.lastIndexOf(':');
  const host = text
    .slice(0, at)
    .replaceAll(/[[\]]/g, '')
    .replace(/^::ffff:(?=\d+\.)/, '');
  return { host: printable(host, 60), port: Number(text.slice(at + 1)) };
}

/**
 * As ss prints them: `users:(("sshd",pid=1,fd=4),("sshd",pid=2,fd=4))`. A program gives itself its name, which has up to 15 characters, and
 * may have `",pid=1,fd=4` in it: the longest name that can be read is the true one, because no two owners are shorter than that.
 */
function readOwners(text: string): Owned {
  const found = [...text.matchAll(/\("(.{0,15})",pid=(\d+),fd=\d+\)/g)];
  return { pids: found.map(([, , pid]) => Number(pid)), program: printable(found[0]?.[1] ?? '', 40) };
}

/** Seconds since 1970, RFC 3339, or the traditional time of syslog, which has neither a year nor a zone: it is taken as UTC. */
function readTime(text: string, nowMs: number): number | null {
  if (/^\d{9,}(\.\d+)?$/.test(text)) return orNull(Math.round(Number(text) * 1000));
  if (/^\d{4}-/.test(text)) return orNull(Date.parse(text));
  if (!/^[A-Z][a-z]{2} +\d{1,2} [\d:]{8}$/.test(text)) return null;
  const year = new Date(nowMs).getUTCFullYear();
  const ms = Date.parse(`${text} ${year} UTC`);
  // A day of the future was one of last year.
  return orNull(ms > nowMs + DAY_MS ? Date.parse(`${text} ${year - 1} UTC`) : ms);
}

const DAY_MS = 86_400_000;

/** Null for what is no time (Date). */
function orNull(ms: number): number | null {
  return Math.abs(ms) <= 8.64e15 ? ms : null;
}
