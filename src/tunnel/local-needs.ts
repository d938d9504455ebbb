import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Clock } from '../lib/async/clock.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { secretFiles } from '../connection/auth/exposed-secrets.ts';
import { copiesOf } from '../connection/auth/systemd-credential.ts';
import type { FailureCode } from '../model/failure.ts';
import type { ServerSpec, TunnelSpec } from '../model/spec.ts';
import { BoundedAgent } from '../connection/auth/agent.ts';
import { certificateFiles } from '../connection/auth/certificate-file.ts';

export type LocalNeeds = ReturnType<typeof watchLocalNeeds>;

/** Files and agents of this machine that a tunnel needs and that may come late or change: polled only while an attempt waits for them. */
export function watchLocalNeeds(spec: TunnelSpec, clock: Clock) {
  let attemptBegan = clock.now();
  let agentKeys: Promise<string> | null = null;
  let wanted: Need | undefined = 'keys';
  /** Since when the same need has been wanted without a change. */
  let since = clock.now();
  let stop = () => {};

  /** Whether something changed after the failed attempt had read it. */
  const changedDuringAttempt = async ({ text, newest }: Snapshot): Promise<boolean> => {
    const age = clock.wall() - newest;
    // A time in the future comes from a clock that was set.
    const changed = age >= -FILE_TIME_MS && age <= clock.now() - attemptBegan + FILE_TIME_MS;
    return changed || (agentKeys !== null && !text.endsWith(await agentKeys));
  };

  return {
    /** An attempt begins: it may not see later changes. Ends whenChanged(). */
    begin: (): void => {
      stop();
      attemptBegan = clock.now();
      // Files have times of their changes; an agent must be asked for its keys, which is done only where that has mattered.
      agentKeys = wanted === 'keys' ? agentsText(spec, clock).catch(errorText) : null;
    },
    /** Calls `changed` once, within two seconds of a change of something that may have caused a failure of this code. */
    whenChanged: (code: FailureCode, changed: () => void): void => {
      const need = NEEDS[code];
      // An attempt that lasted so long was up.
      if (need !== wanted || clock.now() - attemptBegan > LIVED_MS) since = clock.now();
      wanted = need;
      if (need === undefined) return;
      let over = false;
      let cancel = () => {};
      stop = () => {
        over = true;
        cancel();
      };
      const poll = async (before: string | null) => {
        const now = await snapshotOf(need, spec, clock);
        const missed = before === null && (await changedDuringAttempt(now));
        if (over) return;
        // Not at once: a file may be about to be written.
        if (missed) cancel = clock.timer(FIRST_MS, changed);
        else if (before !== null && now.text !== before) {
          since = clock.now();
          changed();
        } else cancel = clock.timer(pollEveryMs(clock.now() - since), () => void poll(now.text));
      };
      void poll(null);
    },
    stop: () => stop(),
  };
}

/** The state of files and agents as text to be compared, and when the newest file was changed (milliseconds since 1970). */
interface Snapshot {
  readonly text: string;
  readonly newest: number;
}

/** Times of files are as coarse as the kernel's clock, which ticks at least a hundred times a second. */
const FILE_TIME_MS = 10;

/** Milliseconds until the next poll, after a wait of `wantedForMs`: short at first, because a person may be mending it just now. */
export function pollEveryMs(wantedForMs: number): number {
  // With the poll itself this stays within two seconds.
  return wantedForMs < 60_000 ? FIRST_MS : 1900;
}

const FIRST_MS = 1000;
const LIVED_MS = 300_000;

type Need = 'keys' | 'host keys' | 'names';

const NEEDS: Readonly<Partial<Record<FailureCode, Need>>> = {
  'key-unreadable': 'keys',
  'key-passphrase': 'keys',
  'auth-rejected': 'keys',
  'host-key-unknown': 'host keys',
  'host-key-changed': 'host keys',
  'host-key-revoked': 'host keys',
  'dns-failed': 'names',
};

async function snapshotOf(need: Need, spec: TunnelSpec, clock: Clock): Promise<Snapshot> {
  try {
    if (need === 'names') return await snapshotOfFiles(NAME_FILES);
    if (need === 'host keys') return await snapshotOfFiles(hostKeyFiles(spec));
    const [files, agents] = await Promise.all([snapshotOfFiles(keyFiles(spec)), agentsText(spec, clock)]);
    return { text: `${files.text}\n${agents}`, newest: files.newest };
  } catch (error) {
    // The attempt itself meets the same error, and reports it.
    return { text: errorText(error), newest: 0 };
  }
}

/** The files that getaddrinfo(3) reads. */
const NAME_FILES = ['/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf'];

function keyFiles(spec: TunnelSpec): readonly string[] {
  return [
    ...secretFiles([spec], ({ identityFiles }) => identityFiles.flatMap((file) => [file, `${file}.pub`])),
    ...serversOf(spec).flatMap(certificateFiles),
  ];
}

function hostKeyFiles(spec: TunnelSpec): readonly string[] {
  return serversOf(spec).flatMap(({ userKnownHostsFiles, globalKnownHostsFiles, revokedHostKeys }) => [
    ...userKnownHostsFiles,
    ...globalKnownHostsFiles,
    ...revokedHostKeys,
  ]);
}

function serversOf(spec: TunnelSpec): readonly ServerSpec[] {
  return [spec, ...spec.jumps];
}

/** With the copies that systemd passes to the service (LoadCredential=). */
async function snapshotOfFiles(files: readonly string[]): Promise<Snapshot> {
  const paths = new Set(files.flatMap((file) => [file, ...copiesOf(file, process.env)]));
  const snapshots = await Promise.all([...paths].map(snapshotOfFile));
  return {
    text: snapshots.map(({ text }) => text).join('\n'),
    newest: Math.max(0, ...snapshots.map(({ newest }) => newest)),
  };
}

async function snapshotOfFile(path: string): Promise<Snapshot> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs, mode, uid } = await stat(path);
    return { text: [path, dev, ino, size, mtimeMs, ctimeMs, mode, uid].join(' '), newest: ctimeMs };
  } catch (error) {
    return { text: `${path} ${errorCode(error)}`, newest: 0 };
  }
}

async function agentsText(spec: TunnelSpec, clock: Clock): Promise<string> {
  const paths = new Set(serversOf(spec).flatMap(({ identityAgent }) => identityAgent ?? []));
  return (await Promise.all([...paths].map((path) => agentText(path, clock)))).join('\n');
}

/** A digest of its keys, or why they cannot be listed. */
async function agentText(path: string, clock: Clock): Promise<string> {
  try {
    const hash = createHash('sha256');
    for (const { blob } of await new BoundedAgent(path, clock).list()) hash.update(blob);
    return `${path} ${hash.digest('base64')}`;
  } catch (error) {
    return `${path} ${errorCode(error)}`;
  }
}
