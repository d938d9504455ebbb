import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { readDurationFrom } from '../config/values/duration.ts';
import { systemEnvironment } from '../config/input/environment.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/input/problem.ts';
import { MAX_TRIAL_MS } from '../control/protocol.ts';
import { sleep, systemClock } from '../lib/async/clock.ts';
import { readText } from '../lib/files/read-small-file.ts';
import { errorText, formatDuration } from '../lib/text.ts';
import { createCandidate, removeCandidate } from '../config/candidate.ts';
import type { StatusDocument } from '../status/document.ts';
import { reportProblems } from './text/config-problems.ts';
import { confirm } from './confirm.ts';
import { request } from './find/daemon-request.ts';
import { EXIT } from './text/exit-code.ts';
import { describeReload, handOverKeys } from './reload.ts';
import { fail } from './text/report.ts';

/**
 * Has the daemon run another configuration, which becomes the file when its tunnels are up and, with `confirmWithin`, when somebody
 * says so in time. Until then the file stays as it is: whatever happens meanwhile, the next start is on what worked.
 */
export async function apply(flag: string | null, file: string, confirmWithin: string | null): Promise<number> {
  const withinMs = confirmWithin === null ? PATIENCE_MS : readTime(confirmWithin);
  if (withinMs === null) return fail(`--confirm: a time from 1s to 24h is needed, such as 5m`, EXIT.usage);
  const asked = await request(flag, { command: 'status' }, null);
  if ('exit' in asked) return asked.exit;
  const target = asked.result.config;
  if (!isAbsolute(target)) return fail('this daemon runs on a command line: start it again with another one');
  try {
    await loadConfig(file, systemEnvironment());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return reportProblems(error);
  }
  if (await isSameFile(file, target)) {
    return fail(
      `${file} is the file that the daemon starts with: apply a copy, so that there is something to go back to; if it was edited already, put back what it was first`,
    );
  }
  outliveTerminal();
  const name = await writeCandidate(target, file, asked.result.trial?.candidate ?? null);
  if (name === null) return EXIT.failed;
  await handOverKeys();
  const answer = await request(flag, { command: 'apply', candidate: name, withinMs }, null);
  if ('exit' in answer) {
    await removeCandidate(target, name);
    return answer.exit;
  }
  process.stdout.write(describeReload('on trial', answer.result));
  return await seeThrough(flag, target, name, confirmWithin !== null);
}

/** Without --confirm; a tunnel that is not up by then may never be. */
const PATIENCE_MS = 120_000;

/** Waits for the tunnels, and keeps the configuration if nobody else is to say so. */
async function seeThrough(flag: string | null, target: string, name: string, asksConfirm: boolean): Promise<number> {
  let printed = '';
  for (;;) {
    const asked = await request(flag, { command: 'status' }, null);
    if ('exit' in asked) return asked.exit;
    const { trial } = asked.result;
    if (trial?.candidate !== name) break;
    if (trial.waitingFor.length === 0) {
      if (!asksConfirm) return await confirm(flag);
      process.stdout.write(
        `all is up; \`tunneld confirm\` keeps it, otherwise it ends ${endsIn(trial.until, asked.result.now)}\n`,
      );
      return EXIT.ok;
    }
    const waiting = describeWaiting(asked.result, trial.waitingFor);
    if (waiting !== printed) process.stdout.write(waiting);
    printed = waiting;
    const blocked = asked.result.tunnels.filter(
      (one) => one.phase === 'blocked' && trial.waitingFor.includes(one.name),
    );
    if (blocked.length > 0)
      return await giveUp(
        flag,
        target,
        name,
        blocked.map((one) => one.name),
      );
    await sleep(systemClock, POLL_MS);
  }
  await removeCandidate(target, name);
  return fail('the new configuration did not come up in time: what ran before runs again');
}

/** What is blocked needs a person, and time does not help: a reload ends the trial. */
async function giveUp(flag: string | null, target: string, name: string, blocked: readonly string[]): Promise<number> {
  const ended = await request(flag, { command: 'reload' }, null);
  if ('exit' in ended) return ended.exit;
  await removeCandidate(target, name);
  const are = blocked.length === 1 ? 'is blocked' : 'are blocked';
  return fail(`${blocked.join(', ')} ${are} until somebody mends what is said above: what ran before runs again`);
}

/** Not the time of day, which may be set before it comes. */
function endsIn(until: string, now: string | undefined): string {
  return now === undefined ? `at ${until}` : `in ${formatDuration(Date.parse(until) - Date.parse(now))}`;
}

const POLL_MS = 500;

function describeWaiting({ tunnels }: StatusDocument, names: readonly string[]): string {
  return tunnels
    .filter((tunnel) => names.includes(tunnel.name))
    .map(({ name, phase, failure }) => {
      const why = failure === undefined ? '' : `: ${failure.code}: ${failure.message}`;
      return `waiting for ${name}: ${phase}${why}\n`;
    })
    .join('');
}

async function writeCandidate(target: string, file: string, inUse: string | null): Promise<string | null> {
  try {
    return await createCandidate(target, await readText(file), inUse);
  } catch (error) {
    fail(`cannot write beside ${target}: ${errorText(error)}${process.getuid?.() === 0 ? '' : ' (try sudo)'}`);
    return null;
  }
}

function readTime(text: string): number | null {
  try {
    const ms = readDurationFrom(1)(text);
    return ms <= MAX_TRIAL_MS ? ms : null;
  } catch {
    return null;
  }
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(one), stat(other).catch(() => null)]);
  return b !== null && a.dev === b.dev && a.ino === b.ino;
}

/** Whoever types this may come through the tunnel that is about to change: what was begun is finished without him. */
function outliveTerminal(): void {
  process.on('SIGHUP', () => {});
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error').on('error', () => {});
}
