import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { groupLives, signalAll } from '../../support/processes.ts';
import { tempDir, until } from '../../support/until.ts';

/** What looks like a Mac to those who look through PATH: launchctl, id with its option for passwords' lines, and a locked disk. */
export interface FakeMac {
  readonly home: string;
  /** Its programs, before those of this machine. */
  readonly bin: string;
  readonly env: NodeJS.ProcessEnv;
  /** Steers the stand-in: see the beginning of launchctl.py. */
  set(name: string, text: string): void;
  /** What the stand-in has written of itself, or null. */
  get(name: string): string | null;
  /** What launchctl was asked for so far, without its questions. */
  calls(): readonly string[];
}

export async function fakeMac(t: TestContext, homeName = 'me'): Promise<FakeMac> {
  const dir = await tempDir(t);
  const [home, bin, state] = [homeName, 'bin', 'state'].map((name) => join(dir, name)) as [string, string, string];
  for (const path of [home, bin, state]) mkdirSync(path, { recursive: true });
  copyFileSync(fileURLToPath(new URL('launchctl.py', import.meta.url)), join(bin, 'launchctl'));
  chmodSync(join(bin, 'launchctl'), 0o755);
  const passwords = join(dir, 'passwords');
  writeFileSync(passwords, `me:********:501:20::0:0:Me, Myself:${home}:/bin/zsh\n`);
  const id = `#!/bin/sh\n[ "$2" = me ] || { echo "id: $2: no such user" >&2; exit 1; }
case $1 in -P) cat '${passwords}' ;; -gn) echo staff ;; *) exit 64 ;; esac\n`;
  writeFileSync(join(bin, 'id'), id, { mode: 0o755 });
  writeFileSync(join(bin, 'fdesetup'), '#!/bin/sh\necho "FileVault is On."\n', { mode: 0o755 });
  const get = (name: string) => (existsSync(join(state, name)) ? readFileSync(join(state, name), 'utf8') : null);
  t.after(() => endAll(join(state, 'over'), get));
  return {
    home,
    bin,
    env: { ...process.env, PATH: `${bin}:${process.env['PATH']}`, LAUNCHD_STATE: state },
    set: (name, text) => writeFileSync(join(state, name), text),
    get,
    calls: () =>
      (get('calls') ?? '')
        .trimEnd()
        .split('\n')
        .filter((line) => !line.startsWith('print ')),
  };
}

/** Keepers are leaders of their sessions: what they run goes with them. One that begins later, by a rescuer, ends by itself. */
async function endAll(over: string, get: FakeMac['get']): Promise<void> {
  writeFileSync(over, '');
  const pids = (get('keepers') ?? '').trimEnd().split('\n').filter(Boolean).map(Number);
  signalAll(
    pids.map((pid) => -pid),
    'SIGKILL',
  );
  await until(() => !pids.some(groupLives), { what: 'the end of what launchd started' });
}
