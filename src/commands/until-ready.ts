import { NOTHING_SEEN } from '../doctor/source-port.ts';
import type { Step } from '../doctor/step.ts';
import { readHostKeys } from '../host/host-keys.ts';
import { sleep, systemClock } from '../lib/clock.ts';
import { SetupError } from '../setup/setup-error.ts';
import type { TunnelSpec } from '../tunnel/spec.ts';
import { examineOnce } from './examine-once.ts';

/**
 * Tries every few seconds whether the server lets the tunnel in, and says what still fails when that changes. Rejects with a SetupError
 * where waiting does not help.
 */
export async function untilServerIsReady(spec: TunnelSpec, tell: (text: string) => void): Promise<void> {
  let last = '';
  const started = systemClock.now();
  tell('waiting for the server to be ready (Ctrl-C ends this; the same command goes on from here)');
  for (;;) {
    const steps = await tryOnce(spec);
    const failed = steps.find(({ step, result }) => result === 'fail' && step !== 'target');
    if (failed === undefined) return;
    if (failed.lasting === true) throw new SetupError(`${failed.step}: ${failed.seen}\n         ${failed.cure ?? ''}`);
    const text = `not yet: ${failed.step}: ${failed.seen}`;
    if (text !== last) tell(failed.cure === undefined ? text : `${text}\n         ${failed.cure}`);
    last = text;
    // Servers punish those who try again and again with a key they do not know.
    await sleep(
      systemClock,
      systemClock.now() - started < PATIENT_AFTER_MS ? 4000 : 15_000,
      new AbortController().signal,
    );
  }
}

const PATIENT_AFTER_MS = 60_000;

async function tryOnce(spec: TunnelSpec): Promise<readonly Step[]> {
  const steps: Step[] = [];
  await examineOnce(spec, {
    hostKeys: () => readHostKeys(),
    ping: null,
    known: null,
    sight: NOTHING_SEEN,
    onStep: (step) => steps.push(step),
  });
  return steps;
}
