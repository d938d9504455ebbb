import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { durationOf } from '../../config/values/duration.ts';
import { changing } from '../../config/change-lock.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { MAX_TRIAL_MS } from '../../control/protocol.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { readText } from '../../lib/files/read-file.ts';
import { formatDuration } from '../../lib/text.ts';
import { UserError, wrongUsage } from '../../lib/user-error.ts';
import { createCandidate, removeCandidate } from '../../config/candidate.ts';
import { isMeant, tunnelOf } from '../../model/redundancy.ts';
import type { StatusDocument, TunnelStatus } from '../../status/document.ts';
import { confirm, refusedTo, toStdout } from './confirm.ts';
import { request } from '../find/daemon-request.ts';
import { describeReload, tryToHandOverKeys } from './reload.ts';

/**
 * Has the daemon try another configuration, which replaces the file when its tunnels are up and, with `confirmWithin`, when it is
 * confirmed in that time. Until then the file stays as it is: whatever happens meanwhile, the next start is on what worked.
 */
export async function apply(
  flag: string | null,
  file: string,
  { confirm: confirmWithin }: { readonly confirm: string | null },
): Promise<void> {
  const withinMs = confirmWithin === null ? PATIENCE_MS : readTime(confirmWithin);
  const status = await request(flag, { command: 'status' }, null);
  const target = status.config;
  if (!isAbsolute(target)) throw new UserError('this daemon runs on a command line: start it again with another one');
  await loadConfig(file, systemEnvironment());
  if (await isSameFile(file, target)) {
    throw new UserError(
      `${file} is the file that the daemon starts with: apply a copy of it, so that there is something to roll back to (if you have edited it already, restore it first)`,
    );
  }
  const text = await readText(file);
  const trial = { withinMs, asksConfirm: confirmWithin !== null, print: toStdout };
  await changing(target, `apply ${file}`, () => tryOut(flag, text, status, trial));
}

/** The same for a text that is valid; `status` is that of the daemon. */
export async function applyText(flag: string, text: string, status: StatusDocument, print: Print): Promise<void> {
  await tryOut(flag, text, status, { withinMs: PATIENCE_MS, asksConfirm: false, print });
}

interface Trial {
  readonly withinMs: number;
  readonly asksConfirm: boolean;
  readonly print: Print;
}

async function tryOut(
  flag: string | null,
  text: string,
  { config: target, trial }: StatusDocument,
  { withinMs, asksConfirm, print }: Trial,
): Promise<void> {
  outliveTerminal();
  const name = await createCandidate(target, text, trial?.candidate ?? null).catch(
    refusedTo(`cannot write beside ${target}`),
  );
  await tryToHandOverKeys();
  try {
    const result = await request(flag, { command: 'apply', candidate: name, withinMs }, null);
    print(describeReload('on trial', result));
  } catch (error) {
    await removeCandidate(target, name);
    throw error;
  }
  await seeThrough(flag, target, name, asksConfirm, print);
}

type Print = (text: string) => void;

/** Without --confirm; a tunnel that is not up by then may never be. */
const PATIENCE_MS = 120_000;

/** Waits for the tunnels, then keeps the configuration unless a person is to confirm it. */
async function seeThrough(
  flag: string | null,
  target: string,
  name: string,
  asksConfirm: boolean,
  print: Print,
): Promise<void> {
  let printed = '';
  for (;;) {
    const status = await request(flag, { command: 'status' }, null);
    const { trial } = status;
    if (trial?.candidate !== name) break;
    if (trial.waitingFor.length === 0) {
      if (!asksConfirm) return await confirm(flag, print);
      const end = endsIn(trial.until, status.now);
      print(`all tunnels are up; run \`tunneld confirm\`, or the trial ends ${end}\n`);
      return;
    }
    const waiting = describeWaiting(status, trial.waitingFor);
    if (waiting !== printed) print(waiting);
    printed = waiting;
    const blocked = blockedOf(status, trial.waitingFor);
    if (blocked.length > 0) return await giveUp(flag, target, name, blocked);
    await sleep(systemClock, POLL_MS);
  }
  await removeCandidate(target, name);
  throw new UserError('the new configuration did not come up in time: what ran before runs again');
}

/** A tunnel with several servers is so where each of them is, or is on standby for as long as its predecessor is up at one that is. */
function blockedOf({ tunnels }: StatusDocument, names: readonly string[]): readonly string[] {
  const isBlocked = ({ phase }: TunnelStatus) => phase === 'blocked';
  const isHeld = ({ server, previous = [] }: TunnelStatus) =>
    previous.some((one) => one.phase === 'up' && one.server === server);
  const isOver = (members: readonly TunnelStatus[]) =>
    members.every((one) => isBlocked(one) || (one.servers?.standby === true && members.filter(isBlocked).some(isHeld)));
  return tunnels
    .filter((one) => isBlocked(one) && names.includes(one.name))
    .filter(({ name }) => isOver(tunnels.filter((one) => isMeant(one.name, tunnelOf(name)))))
    .map(({ name }) => name);
}

/** A blocked tunnel needs a person, and time does not help: a reload ends the trial. */
async function giveUp(flag: string | null, target: string, name: string, blocked: readonly string[]): Promise<never> {
  await request(flag, { command: 'reload' }, null);
  await removeCandidate(target, name);
  const are = blocked.length === 1 ? 'is blocked' : 'are blocked';
  throw new UserError(`${blocked.join(', ')} ${are} (the reason is printed above): what ran before runs again`);
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

function readTime(text: string): number {
  const ms = durationOf(text);
  if (ms === null || ms < 1000 || ms > MAX_TRIAL_MS)
    throw wrongUsage(`--confirm: it must be a time from 1s to 24h, such as 5m`);
  return ms;
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(one), stat(other).catch(() => null)]);
  return b !== null && a.dev === b.dev && a.ino === b.ino;
}

/** The terminal may be reached through the tunnel that is about to change: what was begun is finished without it. */
export function outliveTerminal(): void {
  process.on('SIGHUP', () => {});
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error').on('error', () => {});
}
