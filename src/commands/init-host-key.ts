import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { errorCode, errorText } from '../lib/text.ts';
import { replaceHostKeys } from '../setup/replace-host-keys.ts';
import type { ShownKey } from '../setup/scan-host-keys.ts';
import { UserError } from '../lib/user-error.ts';
import { TunnelFailure } from '../model/failure.ts';
import { loadKnownHosts } from '../connection/known-hosts/file.ts';
import { fingerprint } from '../connection/known-hosts/key-blob.ts';
import { matchesHost } from '../connection/known-hosts/match.ts';
import type { KnownHostsEntry, KnownHostsProblem } from '../connection/known-hosts/parse.ts';
import { checkHostKey, type HostKeyVerdict, type HostQuery } from '../connection/known-hosts/check.ts';
import type { Questions } from './text/prompt.ts';

export interface HostToTrust {
  readonly query: HostQuery;
  /** The first is written; it must name one. */
  readonly userKnownHostsFiles: readonly string[];
  readonly globalKnownHostsFiles: readonly string[];
  /** Whether a fingerprint that was given must be of this host: there is no other that it could be meant for. */
  readonly alone: boolean;
  /** Asks the server for its keys. */
  scan(): Promise<readonly ShownKey[]>;
}

/** `known` where nothing had to be done, `trusted` where the keys were written, `refused` where nobody confirmed them. */
export type TrustResult = 'known' | 'trusted' | 'refused';

/**
 * Sees to it that the server's host key is known, never silently: somebody compares the fingerprint, or has done so before and gives
 * it. A key that has changed is replaced only so. Throws a UserError where that cannot be.
 */
export async function trustHostKey(
  host: HostToTrust,
  given: string | null,
  questions: Questions,
  print: (text: string) => void,
): Promise<TrustResult> {
  const { query } = host;
  const [file] = host.userKnownHostsFiles;
  if (file === undefined)
    throw new UserError(`${query.name}: userKnownHostsFile names no file to which the key could be written`);
  const { entries, problems } = await loadKnownHosts([...host.userKnownHostsFiles, ...host.globalKnownHostsFiles]);
  const unreadable = problems.find(({ line }) => line === 0);
  if (unreadable !== undefined) throw new UserError(await whyUnreadable(unreadable));
  const before = entries.filter((entry) => isKeyOf(entry, query));
  const shown = await scanOr(host, before, print);
  if (shown === null) return 'known';

  const verdicts = shown.map(({ key }) => checkHostKey(entries, query, key));
  refuseRevoked(shown, verdicts, query);
  const known = verdicts.find((verdict) => verdict.type === 'known');
  if (known !== undefined && !shown.some((one) => isReplaced(one, before))) {
    if (host.alone) refuseOther(given, shown, before, query);
    print(`${where(known.entry)} knows the host key that ${query.name} shows`);
    return 'known';
  }
  print(`${query.name} shows: ${shown.map(({ type, fingerprint: text }) => `${type} ${text}`).join(', ')}`);
  if (before.length > 0)
    print(
      `known of it is: ${before.map((entry) => `${entry.keyType} ${fingerprint(entry.key)} (${where(entry)})`).join(', ')}; ` +
        'the server was set up anew, or somebody is listening in',
    );
  const chosen = await choose(shown, given, questions, print);
  if (chosen.length === 0) return 'refused';
  const keys = chosen.map(({ key }) => key);
  await replaceHostKeys(
    file,
    query,
    keys,
    shown.map(({ key }) => key),
  );
  print(`${before.length > 0 ? 'replaced' : 'written'} in ${file}`);
  await warnOfOthers(host, keys, print);
  return 'trusted';
}

async function whyUnreadable({ file, message }: KnownHostsProblem): Promise<string> {
  const isDenied = await access(file, constants.R_OK).then(
    () => false,
    (reason: unknown) => errorCode(reason) === 'EACCES',
  );
  // Whose file it is to be is the daemon's affair, as whose user it runs.
  return isDenied ? `this user may not read ${file}: run this with sudo` : `${file} ${message}`;
}

/** Of this port: behind another one of the same name may be another machine. */
function isKeyOf({ marker, hosts }: KnownHostsEntry, { name }: HostQuery): boolean {
  return marker === 'none' && matchesHost(hosts, name);
}

/** A key of this type is known, and the server has another one: a tunnel may ask for just this type. */
function isReplaced({ type, key }: ShownKey, before: readonly KnownHostsEntry[]): boolean {
  const ofType = before.filter(({ keyType }) => keyType === type);
  return ofType.length > 0 && !ofType.some((entry) => entry.key.equals(key));
}

/** Null where it cannot be asked now, and something is known of it. */
async function scanOr(
  { query, scan }: HostToTrust,
  before: readonly KnownHostsEntry[],
  print: (text: string) => void,
): Promise<readonly ShownKey[] | null> {
  try {
    return await scan();
  } catch (error) {
    const [first] = before;
    if (first === undefined || !(error instanceof TunnelFailure)) throw error;
    print(`${where(first)} knows a host key of ${query.name}, which could not be compared: ${errorText(error)}`);
    return null;
  }
}

function refuseRevoked(shown: readonly ShownKey[], verdicts: readonly HostKeyVerdict[], { name }: HostQuery): void {
  for (const [index, verdict] of verdicts.entries()) {
    if (verdict.type === 'revoked')
      throw new UserError(
        `${name} shows ${shown[index]!.type} ${shown[index]!.fingerprint}, which ${where(verdict.entry)} revokes: give the server a new host key, or remove that line`,
      );
  }
}

/** A fingerprint that somebody read off another server than this must not pass unnoticed. */
function refuseOther(
  given: string | null,
  shown: readonly ShownKey[],
  before: readonly KnownHostsEntry[],
  { name }: HostQuery,
): void {
  if (given === null) return;
  const all = [...shown.map((one) => one.fingerprint), ...before.map(({ key }) => fingerprint(key))];
  if (!all.includes(fingerprintIn(given)))
    throw new UserError(
      `the host key of ${name} is known and shown, and it is not ${JSON.stringify(given)} but ${[...new Set(all)].join(', ')}`,
    );
}

/** A line about several hosts, and files of the system's, are left to people. */
async function warnOfOthers(host: HostToTrust, keys: readonly Buffer[], print: (text: string) => void): Promise<void> {
  const { entries } = await loadKnownHosts([...host.userKnownHostsFiles, ...host.globalKnownHostsFiles]);
  for (const entry of entries) {
    if (isKeyOf(entry, host.query) && !keys.some((key) => key.equals(entry.key)))
      print(`${where(entry)} still trusts ${entry.keyType} ${fingerprint(entry.key)} there: edit that line yourself`);
  }
}

const HOW_TO_COMPARE = 'for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done';

async function choose(
  shown: readonly ShownKey[],
  given: string | null,
  { ask }: Questions,
  print: (text: string) => void,
): Promise<readonly ShownKey[]> {
  const answer = (
    given ??
    (await ask(
      `Compare with what the server itself shows (${HOW_TO_COMPARE}).\nWrite yes if they are the same, or paste one of those lines`,
      null,
      'give the fingerprint as the server itself shows it (trust --fingerprint, init --host-key-fingerprint SHA256:...) to a script',
    ))
  ).trim();
  if (given === null && answer.toLowerCase() === 'yes') return shown;
  const same = shown.filter(({ fingerprint: text }) => text === fingerprintIn(answer));
  if (same.length > 0) return same;
  const fingerprintGiven = fingerprintIn(answer);
  print(
    fingerprintGiven.startsWith('SHA256:')
      ? `none of these keys has the fingerprint ${JSON.stringify(fingerprintGiven)}: this is not your server, or not its key`
      : `${JSON.stringify(answer)} is neither yes nor a fingerprint (SHA256:...)`,
  );
  return [];
}

/** `ssh-keygen -l` prints it with the length before it, and a comment and the type behind. */
function fingerprintIn(text: string): string {
  return /(?:^|\s)(SHA256:[A-Za-z0-9+/]{43})(?:=?)(?:\s|$)/.exec(text)?.[1] ?? text;
}

function where({ file, line }: KnownHostsEntry): string {
  return `${file}:${line}`;
}
