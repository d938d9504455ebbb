import { readFileSync, rmSync } from 'node:fs';
import { putFile } from '../../../install/steps/files.ts';
import { UserError } from '../../../lib/user-error.ts';
import { withLock } from '../../../install/steps/lock.ts';
import { mustRun, runProgram } from '../../../install/steps/run-program.ts';
import { execWords } from '../../../install/systemd/unit-file.ts';
import { systemClock, type Clock } from '../../../lib/async/clock.ts';
import { errorText } from '../../../lib/text.ts';

/** Whether runInOwnUnit() has started this process. */
export function isInOwnUnit(): boolean {
  return process.env[MARK] !== undefined;
}

/** Does work whose end is in the journal, too, for a caller that has lost the connection meanwhile. */
export async function inJournal<T>(work: () => Promise<T>, done: string): Promise<T> {
  try {
    const result = await work();
    await writeToJournal(done);
    return result;
  } catch (error) {
    await writeToJournal(errorText(error));
    throw error;
  }
}

export async function writeToJournal(text: string): Promise<void> {
  await runProgram(['systemd-cat', `--identifier=${NAME}`, 'echo', text]);
}

/**
 * Runs this very command, confirmed, in a systemd unit of its own, and copies its output: it goes on when the caller's connection ends,
 * and with it the shell and all that it runs. `atEnd` is a script for sh, without quotes, that runs when the command has ended in
 * whatever way. Returns its exit code.
 */
export async function runInOwnUnit(atEnd: string, clock: Clock = systemClock): Promise<number> {
  return await withLock(LOCK, () => runAlone(atEnd, clock));
}

/** The lock ends with this process, and then it is the state of the unit that shows that it is in use. */
async function runAlone(atEnd: string, clock: Clock): Promise<number> {
  const systemctl = (...args: readonly string[]) => runProgram(['systemctl', ...args]);
  if ((await systemctl('is-active', UNIT)).stdout.trim() === 'activating')
    throw new UserError(`another installation is in progress: see journalctl --identifier=${NAME}`);
  for (const path of [OUTPUT, ERRORS]) await putFile(path, '', PRIVATE);
  await putFile(`/run/systemd/system/${UNIT}`, unitText(atEnd), PRIVATE);
  await mustRun(runProgram, ['systemctl', 'daemon-reload']);
  const shown = [follow(OUTPUT, process.stdout, clock), follow(ERRORS, process.stderr, clock)];
  const { code } = await systemctl('start', UNIT);
  for (const stop of shown) stop();
  const status = Number((await systemctl('show', UNIT, '--property=ExecMainStatus', '--value')).stdout);
  for (const path of [`/run/systemd/system/${UNIT}`, OUTPUT, ERRORS]) rmSync(path, { force: true });
  await systemctl('reset-failed', UNIT);
  await systemctl('daemon-reload');
  return code === 0 ? 0 : status || 1;
}

const NAME = 'tunneld-takeover';
const UNIT = `${NAME}.service`;
const LOCK = `/run/${NAME}.lock`;
const OUTPUT = `/run/${NAME}.output`;
const ERRORS = `/run/${NAME}.errors`;
const MARK = 'TUNNELD_TAKEOVER';
const PRIVATE = { mode: 0o600, uid: 0, gid: 0 };

/** Not systemd-run: to wait for a unit it needs D-Bus, which not every system has. */
function unitText(atEnd: string): string {
  const [script = '', ...args] = process.argv.slice(1);
  const yes = args.includes('--yes') ? [] : ['--yes'];
  const inherited = ['PATH', 'HOME', 'LANG', 'LC_ALL'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
  return `[Service]
Type=oneshot
ExecStart=${execWords([process.execPath, ...process.execArgv, script, ...args, ...yes])}
ExecStopPost=${execWords(['/bin/sh', '-c', atEnd])}
Environment=${execWords([`${MARK}=1`, ...inherited]).replaceAll('$$', '$')}
WorkingDirectory=${process.cwd().replaceAll('%', '%%')}
# What a rollback starts again outlives this.
KillMode=process
StandardOutput=append:${OUTPUT}
StandardError=append:${ERRORS}
# Two minutes for the start of the service, one for its proof, and as much again for a rollback.
TimeoutStartSec=360
`;
}

/** Copies what is appended to a file to a stream, until the returned function is called, which copies the rest. */
function follow(path: string, stream: NodeJS.WritableStream, clock: Clock): () => void {
  let shown = 0;
  let cancel = () => {};
  const show = () => {
    const bytes = readFileSync(path);
    if (bytes.length > shown) stream.write(bytes.subarray(shown));
    shown = bytes.length;
  };
  const again = () => {
    show();
    cancel = clock.timer(LOOK_EVERY_MS, again);
  };
  again();
  return () => {
    cancel();
    show();
  };
}

const LOOK_EVERY_MS = 200;
