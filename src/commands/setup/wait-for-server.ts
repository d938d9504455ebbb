import { NO_FACTS } from '../../doctor/source-port.ts';
import type { Step } from '../../doctor/check.ts';
import { readHostKeys } from '../../host/host-keys.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { UserError } from '../../lib/user-error.ts';
import { nextDialAt } from '../../net/dial.ts';
import { serverBehindProxy, firstHop } from '../../net/first-hop.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { checkOnce } from '../find/check-once.ts';
import { processTurns } from '../find/login-deps.ts';

/**
 * Checks every few seconds whether the server is ready for the tunnel, and prints what still fails when that changes; after refused
 * logins as seldom as servers bear. Rejects with a UserError where waiting does not help.
 */
export async function untilServerIsReady(spec: TunnelSpec, print: (text: string) => void): Promise<void> {
  let last = '';
  let rejections = 0;
  const started = systemClock.now();
  print('waiting until the server is ready (Ctrl-C ends this; the same command goes on from here)');
  for (;;) {
    const steps = await tryOnce(spec);
    const failed = steps.find(({ step, result }) => result === 'fail' && step !== 'target');
    if (failed === undefined) return;
    if (failed.lasting === true) throw new UserError(`${failed.step}: ${failed.seen}\n${failed.cure ?? ''}`);
    const text = `not yet: ${failed.step}: ${failed.seen}`;
    if (text !== last) print(failed.cure === undefined ? text : `${text}\n  ${failed.cure}`);
    last = text;
    if (failed.step === 'authentication') rejections += 1;
    const planned = pauseMs(failed.step === 'authentication' ? rejections : 0, systemClock.now() - started);
    const wait = Math.max(planned, untilTurnMs(spec));
    if (wait > ANNOUNCED_MS)
      print(
        `trying again in ${Math.ceil(wait / 1000)} s, because servers ban addresses whose logins fail often; to try at once, end this and run the same command again`,
      );
    await sleep(systemClock, wait);
  }
}

/**
 * Pure: how long to wait after a check. `rejections` is the number of refused logins so far: in ten minutes there are no more of them than
 * the budget of a process allows, and the time in which a person runs the script on the server is not one long wait.
 */
export function pauseMs(rejections: number, sinceMs: number): number {
  if (rejections === 0) return sinceMs < PATIENT_AFTER_MS ? 4000 : 15_000;
  return REFUSED_MS[rejections - 1] ?? REFUSED_LATER_MS;
}

const PATIENT_AFTER_MS = 60_000;
const REFUSED_MS: readonly number[] = [4000, 60_000, 180_000];
const REFUSED_LATER_MS = 200_000;

/** Shorter waits are not announced. */
const ANNOUNCED_MS = 30_000;

/** How long it takes until this process may dial the server again; 0 where it is not known. */
function untilTurnMs(spec: TunnelSpec): number {
  const deps = { clock: systemClock, turns: processTurns, behindProxy: serverBehindProxy(spec) };
  const at = nextDialAt(firstHop(spec), deps);
  return Number.isFinite(at) ? at - systemClock.now() : 0;
}

async function tryOnce(spec: TunnelSpec): Promise<readonly Step[]> {
  const steps: Step[] = [];
  await checkOnce(spec, {
    hostKeys: () => readHostKeys(),
    ping: null,
    fromDaemon: null,
    sourcePort: NO_FACTS,
    onStep: (step) => steps.push(step),
  });
  return steps;
}
