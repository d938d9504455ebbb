import { isDenied } from '../../lib/files/read-file.ts';
import { errorText } from '../../lib/text.ts';
import { replaceHostKeys } from '../../setup/replace-host-keys.ts';
import type { ShownKey } from '../../setup/scan-host-keys.ts';
import { UserError, wrongUsage } from '../../lib/user-error.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { loadKnownHosts } from '../../connection/known-hosts/file.ts';
import { readCertificate } from '../../connection/ssh/certificate.ts';
import {
  authoritiesOf,
  checkHostCertificate,
  describeCertificate,
} from '../../connection/known-hosts/host-certificate.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { CA_SIGNATURE_ALGORITHMS } from '../../model/algorithms.ts';
import { certificateText } from '../../model/host-certificate.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { describeEntry, where } from '../../connection/known-hosts/explain.ts';
import { fingerprint } from '../../connection/known-hosts/key-blob.ts';
import { matchesHost } from '../../connection/known-hosts/match.ts';
import type { KnownHostsEntry, KnownHostsProblem } from '../../connection/known-hosts/parse.ts';
import { checkHostKey, type HostKeyVerdict, type HostQuery } from '../../connection/known-hosts/check-host-key.ts';
import { askFor, type Questions } from '../text/prompt.ts';

/** New keys are written to the first of the user's files; there must be one. */
export interface HostToTrust extends Pick<
  TunnelSpec,
  'userKnownHostsFiles' | 'globalKnownHostsFiles' | 'caSignatureAlgorithms'
> {
  readonly query: HostQuery;
  /** Whether a given fingerprint can only be meant for this host. */
  readonly alone: boolean;
  /** The option of the command that gives the fingerprint; null where there is none. */
  readonly option: string | null;
  /** Asks the server for its keys. */
  scan(): Promise<readonly ShownKey[]>;
  /** Asks it for its certificate. */
  scanCertificate(): Promise<Buffer | null>;
}

/** `known` where nothing had to be done, `trusted` where the keys were written, `refused` where they were not confirmed. */
export type TrustResult = 'known' | 'trusted' | 'refused';

/**
 * Makes the server's host key known, never silently: a person compares the fingerprint, or has done so before and gives it. A key that
 * has changed is replaced only so. Throws a UserError where that cannot be done.
 */
export async function trustHostKey(
  host: HostToTrust,
  given: string | null,
  questions: Questions,
  print: (text: string) => void,
): Promise<TrustResult> {
  const { query } = host;
  const [file] = host.userKnownHostsFiles;
  if (file === undefined) throw new UserError(`${query.name}: userKnownHostsFile names no file to write the key to`);
  const { entries, problems } = await loadKnownHosts([...host.userKnownHostsFiles, ...host.globalKnownHostsFiles]);
  const unreadable = problems.find(({ line }) => line === 0);
  if (unreadable !== undefined) throw new UserError(await whyUnreadable(unreadable));
  const before = entries.filter((entry) => isKeyOf(entry, query));
  if (await isCertified(host, entries, given, print)) return 'known';
  const shown = await scanOr(host, before, print);
  if (shown === null) return 'known';

  const verdicts = shown.map(({ key }) => checkHostKey(entries, query, key));
  refuseRevoked(shown, verdicts, query);
  const known = verdicts.find((verdict) => verdict.type === 'known');
  if (known !== undefined && !shown.some((one) => isReplaced(one, before))) {
    if (host.alone) refuseOther(given, shown, before, query);
    print(`the host key of ${query.name} is known: ${where(known.entry)}`);
    return 'known';
  }
  print(`host keys of ${query.name}: ${shown.map(({ type, fingerprint: text }) => `${type} ${text}`).join(', ')}`);
  const shownKeys = shown.map(({ key }) => key);
  const others = before.filter((entry) => !shownKeys.some((key) => key.equals(entry.key)));
  if (others.length > 0)
    print(
      `known_hosts has another key of it: ${others.map(describeEntry).join(', ')}; ` +
        'the server was reinstalled, or the connection is intercepted',
    );
  const chosen = await choose(host, shown, given, questions, print);
  if (chosen.length === 0) return 'refused';
  await replaceHostKeys(
    file,
    query,
    chosen.map(({ key }) => key),
    shownKeys,
  );
  print(`host key ${others.length > 0 ? 'replaced in' : 'added to'} ${file}`);
  await warnOfOthers(host, shownKeys, print);
  return 'trusted';
}

/** Whether the server's certificate is of an authority that known_hosts has for it. Throws a UserError where that is revoked. */
async function isCertified(
  { query, alone, caSignatureAlgorithms, scanCertificate }: HostToTrust,
  entries: readonly KnownHostsEntry[],
  given: string | null,
  print: (text: string) => void,
): Promise<boolean> {
  if (authoritiesOf(entries, query).length === 0) return false;
  const shown = await scanCertificate().catch(() => null);
  const certificate = shown && readCertificate(shown);
  if (certificate === null) {
    print(`${query.name} shows no certificate, though known_hosts has an authority for it`);
    return false;
  }
  const allowed = caSignatureAlgorithms ?? CA_SIGNATURE_ALGORITHMS;
  const verdict = checkHostCertificate(entries, query, certificate, allowed, systemClock.wall());
  const text = `the ${certificateText(describeCertificate(certificate))}`;
  if (verdict.type === 'revoked')
    throw new UserError(`${query.name} shows ${text}, which ${where(verdict.entry)} revokes`);
  if (verdict.type === 'unfit') {
    print(`${query.name} shows ${text}, which proves nothing: it ${verdict.reason}`);
    return false;
  }
  const proven = [certificate.key, certificate.authority].map(fingerprint);
  if (alone && given !== null && !proven.includes(fingerprintIn(given)))
    throw new UserError(
      `the host key of ${query.name} is known by ${text}, and ${JSON.stringify(given)} is neither its key nor its authority`,
    );
  print(
    `the host key of ${query.name}, ${certificate.keyType} ${proven[0]}, is known by ${text}: ${where(verdict.entry)}`,
  );
  return true;
}

async function whyUnreadable({ file, message }: KnownHostsProblem): Promise<string> {
  // The daemon's user, who is not known here, should own it.
  return (await isDenied(file)) ? `${file} cannot be read by this user: run this with sudo` : `${file} ${message}`;
}

/** Only of this port: another port of the same name may lead to another machine. */
function isKeyOf({ marker, hosts }: KnownHostsEntry, { name }: HostQuery): boolean {
  return marker === 'none' && matchesHost(hosts, name);
}

/** Another key of this type is known: a tunnel may ask for just this type. A spare is beside that key, not in its place. */
function isReplaced({ type, key }: ShownKey, before: readonly KnownHostsEntry[]): boolean {
  const ofType = before.filter(({ keyType, spare }) => keyType === type && spare !== true);
  return ofType.length > 0 && !ofType.some((entry) => entry.key.equals(key));
}

/** Null where the server cannot be asked now, and a key of it is known. */
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
    print(`a host key of ${query.name} is known (${where(first)}), and could not be compared: ${errorText(error)}`);
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

/** A given fingerprint that is another server's must not pass unnoticed. */
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
      `the host key of ${name} is known, and is not ${JSON.stringify(given)} but ${[...new Set(all)].join(', ')}`,
    );
}

/** Lines about several hosts, and the system's files, are left to people; those with a key that the server shows are kept. */
async function warnOfOthers(host: HostToTrust, shown: readonly Buffer[], print: (text: string) => void): Promise<void> {
  const { entries } = await loadKnownHosts([...host.userKnownHostsFiles, ...host.globalKnownHostsFiles]);
  for (const entry of entries) {
    if (isKeyOf(entry, host.query) && !shown.some((key) => key.equals(entry.key)))
      print(`${where(entry)} still has ${entry.keyType} ${fingerprint(entry.key)}: edit that line yourself`);
  }
}

const HOW_TO_COMPARE = 'for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done';

async function choose(
  { query, option }: HostToTrust,
  shown: readonly ShownKey[],
  given: string | null,
  { ask }: Questions,
  print: (text: string) => void,
): Promise<readonly ShownKey[]> {
  const shownThere = `with what the server itself shows (${HOW_TO_COMPARE})`;
  const question = `Compare them ${shownThere}.\nAre they the same? Type yes, or paste one of its lines`;
  const otherwise =
    option === null
      ? `log in to ${query.name} with ssh first, which makes its host key known`
      : `compare them ${shownThere}, and give the fingerprint: ${option} SHA256:...`;
  const answer = (given ?? (await askFor(ask, question, null, yesNoOrFingerprint, otherwise))).trim();
  if (given === null && answer === 'yes') return shown;
  if (given === null && answer === 'no') return [];
  const same = shown.filter(({ fingerprint: text }) => text === fingerprintIn(answer));
  if (same.length > 0) return same;
  const fingerprintGiven = fingerprintIn(answer);
  print(
    fingerprintGiven.startsWith('SHA256:')
      ? `none of these keys has the fingerprint ${JSON.stringify(fingerprintGiven)}: this is not your server, or not its key`
      : neither(answer),
  );
  return [];
}

/** As ssh asks, and as strictly: `y` is no answer. */
function yesNoOrFingerprint(answer: string): string {
  if (/^(?:yes|no)$/i.test(answer)) return answer.toLowerCase();
  if (/^SHA256:[A-Za-z0-9+/]{43}$/.test(fingerprintIn(answer))) return answer;
  throw wrongUsage(neither(answer));
}

function neither(answer: string): string {
  return `${JSON.stringify(answer)} is neither yes nor no nor a fingerprint (SHA256:...)`;
}

/** `ssh-keygen -l` prints the length before it, and a comment and the type behind it. */
function fingerprintIn(text: string): string {
  return /(?:^|\s)(SHA256:[A-Za-z0-9+/]{43})(?:=?)(?:\s|$)/.exec(text)?.[1] ?? text;
}
