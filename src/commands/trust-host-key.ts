import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemClock } from '../lib/clock.ts';
import { createFile } from '../setup/new-file.ts';
import { scanHostKeys, type ShownKey } from '../setup/scan-host-keys.ts';
import { SetupError } from '../setup/setup-error.ts';
import { fingerprint } from '../tunnel/known-hosts-key.ts';
import { appendKnownHosts, loadKnownHosts } from '../tunnel/known-hosts-file.ts';
import { matchesHost } from '../tunnel/known-hosts-match.ts';
import { hostQuery, knownHostsLine } from '../tunnel/known-hosts.ts';
import type { Questions } from './questions.ts';

export interface HostToTrust {
  readonly host: string;
  readonly port: number;
  readonly userKnownHostsFile: string;
}

/**
 * Sees to it that the server's host key is known, never silently: somebody compares the fingerprint, or has done so before and gives
 * it. False where it was not confirmed; throws a SetupError where another key is known.
 */
export async function trustHostKey(
  server: HostToTrust,
  given: string | null,
  questions: Questions,
  tell: (text: string) => void,
): Promise<boolean> {
  const { userKnownHostsFile: file } = server;
  const query = hostQuery(server.host, server.port, null);
  const { entries } = await loadKnownHosts([file]);
  // Of this port: behind another one of the same name may be another machine.
  const known = entries
    .filter(({ hosts, marker }) => marker === 'none' && matchesHost(hosts, query.name))
    .map(({ key }) => fingerprint(key));
  if (known.length > 0) {
    if (given !== null && !known.includes(fingerprintIn(given)))
      throw new SetupError(
        `${file} knows the host key of ${query.name}, and it is not ${JSON.stringify(given)} but ${known.join(', ')}: if the server was set up anew, remove that line first`,
      );
    tell(`${file} knows the host key of ${query.name} already`);
    return true;
  }
  const at = { ...server, addressFamily: 'any', bindAddress: null, tcpKeepAlive: true } as const;
  const shown = await scanHostKeys(at, SCAN_MS, systemClock, new AbortController().signal);
  tell(`${query.name} shows: ${shown.map(({ type, fingerprint: text }) => `${type} ${text}`).join(', ')}`);
  const chosen = await choose(shown, given, questions, tell);
  if (chosen.length === 0) return false;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const exists = await stat(file).then(
    () => true,
    () => false,
  );
  if (!exists) await createFile(file, '', 0o600);
  await appendKnownHosts(
    file,
    chosen.map(({ key }) => knownHostsLine(query, key)),
  );
  tell(`written to ${file}`);
  return true;
}

const SCAN_MS = 10_000;
const HOW_TO_COMPARE = 'for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done';

async function choose(
  shown: readonly ShownKey[],
  given: string | null,
  { ask }: Questions,
  tell: (text: string) => void,
): Promise<readonly ShownKey[]> {
  const answer = (
    given ??
    (await ask(
      `Compare with what the server itself shows (${HOW_TO_COMPARE}).\nWrite yes if they are the same, or paste one of those lines`,
      null,
      'give --host-key-fingerprint SHA256:..., as the server itself shows it, to a script',
    ))
  ).trim();
  if (given === null && answer.toLowerCase() === 'yes') return shown;
  const same = shown.filter(({ fingerprint: text }) => text === fingerprintIn(answer));
  if (same.length === 0)
    tell(`none of these keys has the fingerprint ${JSON.stringify(answer)}: this is not your server, or not its key`);
  return same;
}

/** `ssh-keygen -l` prints it with the length before it, and a comment and the type behind. */
function fingerprintIn(text: string): string {
  return /(?:^|\s)(SHA256:[A-Za-z0-9+/]{43})(?:=?)(?:\s|$)/.exec(text)?.[1] ?? text;
}
