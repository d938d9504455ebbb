import { errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { shellQuote } from '../../lib/shell-quote.ts';
import { putFile, readFileState } from '../steps/files.ts';
import { mustRun, type Runner } from '../steps/run-program.ts';
import type { UserManager } from '../takeover/old-unit.ts';
import type { Hold, LinuxKeeper } from './keeper.ts';
import type { OldMachine, OldProcess } from './machine.ts';
import { familyOf, topOf } from './processes.ts';

/** Stops what keeps a tunnel up, until it is started again or the machine is. */
export async function stopKeeper(keeper: LinuxKeeper, machine: OldMachine, run: Runner): Promise<void> {
  const { hold } = keeper;
  if (hold.type === 'unit') await mustRun(run, systemctl(hold.user, 'stop', ...unitsOf(hold)));
  else {
    const pids = processesOf(keeper, machine);
    if (pids.length > 0) await mustRun(run, ['/bin/sh', '-c', killScript(pids)]);
  }
}

function unitsOf({ unit, timer }: Extract<Hold, { type: 'unit' }>): readonly string[] {
  return timer === null ? [unit] : [unit, timer];
}

/** The processes that it has started and that run. */
export function processesOf({ commands }: LinuxKeeper, machine: OldMachine): readonly number[] {
  return [...new Set(commands.flatMap((command) => familyOf(command, machine)))];
}

/**
 * Asks processes to end, and kills after five seconds those that still run. Each is looked for by a `kill -0` of its own: with several
 * processes its exit code means in some shells that all of them run, in others that one does.
 */
function killScript(pids: readonly number[]): string {
  const all = pids.join(' ');
  return `kill -TERM ${all} 2>/dev/null
have_ended() { for pid; do if kill -0 "$pid" 2>/dev/null; then return 1; fi; done; }
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
  if have_ended ${all}; then exit 0; fi
  sleep 0.2
done
kill -KILL ${all} 2>/dev/null
exit 0`;
}

/** A script for sh that starts again what runs now, as it was started; `:` where nothing runs. */
export function startScript(keeper: LinuxKeeper, machine: OldMachine): string {
  const { hold, running } = keeper;
  if (!running) return ':';
  if (hold.type === 'unit') return words(systemctl(hold.user, 'start', ...unitsOf(hold)));
  const pids = processesOf(keeper, machine);
  const started =
    hold.type === 'lines'
      ? asStarted(
          hold.user,
          hold.environment['HOME'] ?? '/',
          hold.environment,
          ['/bin/sh', '-c', hold.command],
          machine,
        )
      : restarted(hold.pid, machine);
  // What was not stopped yet is not started twice.
  return [...pids.map((pid) => `kill -0 ${pid} 2>/dev/null`), started].join(' || ');
}

function restarted(pid: number, machine: OldMachine): string {
  const own = machine.processes.find((one) => one.pid === pid);
  if (own === undefined) return ':';
  const top: OldProcess = topOf(own, machine);
  return asStarted(String(top.uid), top.directory, top.environment, top.argv, machine);
}

/** In a session of its own, with these variables and no others. */
function asStarted(
  who: string,
  directory: string,
  environment: Readonly<Record<string, string>>,
  argv: readonly string[],
  { accounts }: OldMachine,
): string {
  const account = accounts.find(({ name, uid }) => name === who || String(uid) === who);
  const user =
    account === undefined ? [] : ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--init-groups'];
  const start = words(['setsid', '-f', ...user, 'env', '-i', '/bin/sh']);
  const text = `${exported(environment)}exec ${words(argv)} </dev/null\n`;
  let end = 'END';
  while (text.includes(end)) end += '_'; // else what a process has been called could end it early
  return `(cd ${shellQuote(directory)} && ${start} >/dev/null 2>&1 <<'${end}'\n${text}${end}\n)`;
}

/** Variables of the shell that was asked for: the argument list of a process is for all to read, and what is in them is not. */
function exported(environment: Readonly<Record<string, string>>): string {
  return Object.entries(environment)
    .filter(([name]) => /^[A-Za-z_]\w*$/.test(name)) // no shell can set another
    .map(([name, value]) => `export ${name}=${shellQuote(value)}\n`)
    .join('');
}

/** Keeps it from starting again. Resolves with what was done, and rejects where it cannot be done. */
async function disableKeeper({ hold, file, name, enabled }: LinuxKeeper, run: Runner): Promise<string> {
  switch (hold.type) {
    case 'unit':
      if (!enabled) return `${name} is stopped, and does not start by itself`;
      await mustRun(run, systemctl(hold.user, 'disable', ...unitsOf(hold)));
      // autossh that is ended leaves its unit failed.
      await run(systemctl(hold.user, 'reset-failed', hold.unit));
      return `${name} is stopped and disabled; ${file} is kept`;
    case 'lines':
      await commentOut(file!, hold);
      return `${name} is stopped, and a comment now`;
    case 'process':
      return `${name} is stopped; what started it was not found, and would start it again`;
  }
}

/** For sh: does what disableKeeper() does, as far as it is not done yet. */
export function disableScript({ hold, file, enabled }: LinuxKeeper): string {
  switch (hold.type) {
    case 'unit':
      if (!enabled) return '';
      return `${words(systemctl(hold.user, 'disable', ...unitsOf(hold)))}\n${words(systemctl(hold.user, 'reset-failed', hold.unit))}\n`;
    case 'lines': {
      const [first, last] = hold.lines.map((line) => line + 1);
      const path = shellQuote(file!);
      const isThere = `[ "$(sed -n ${first},${last}p ${path})" = ${shellQuote(hold.text)} ]`;
      return `if ${isThere}; then sed -i ${shellQuote(`${first},${last}s/^/${MARK}/`)} ${path}; fi\n`;
    }
    case 'process':
      return '';
  }
}

const MARK = '# tunneld has this tunnel now: ';

async function commentOut(
  path: string,
  { lines: [first, last], text }: Extract<Hold, { type: 'lines' }>,
): Promise<void> {
  const state = await readFileState(path);
  const lines = (state?.content ?? '').split('\n');
  if (state === null || lines.slice(first, last + 1).join('\n') !== text)
    throw new UserError(`${path} was changed meanwhile: take ${text.trim()} out of it`);
  const changed = lines.map((line, index) => (index < first || index > last ? line : `${MARK}${line}`));
  await putFile(path, changed.join('\n'), state);
}

/** For a person: what will be done with it. */
export function describeEnd({ hold, name, file, enabled }: LinuxKeeper): string {
  switch (hold.type) {
    case 'unit':
      return enabled ? `stop and disable ${name}` : `stop ${name}`;
    case 'lines':
      return `stop what ${name} has started, and make line ${hold.lines[0] + 1} of ${file} a comment`;
    case 'process':
      return `stop ${name}`;
  }
}

function systemctl(user: UserManager | null, ...args: readonly string[]): readonly string[] {
  if (user === null) return ['systemctl', ...args];
  const runtime = `XDG_RUNTIME_DIR=/run/user/${user.uid}`;
  return ['runuser', '-u', user.name, '--', 'env', runtime, 'systemctl', '--user', ...args];
}

function words(argv: readonly string[]): string {
  return argv.map(shellQuote).join(' ');
}

/** Disables all; a failure of one leaves the others disabled. Resolves with one line for each. */
export async function disableAll(
  keepers: readonly LinuxKeeper[],
  run: Runner,
): Promise<{ done: string[]; failed: string[] }> {
  const done: string[] = [];
  const failed: string[] = [];
  for (const keeper of keepers)
    await disableKeeper(keeper, run).then(
      (text) => done.push(text),
      (error: unknown) => failed.push(`${keeper.name} is stopped, and would start again: ${errorText(error)}`),
    );
  return { done, failed };
}
