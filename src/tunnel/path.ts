import { isIPv6 } from 'node:net';
import { abortable } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import { errorCode } from '../lib/text.ts';
import type { Ends } from './device.ts';
import { localAddress } from './local-address.ts';
import { openSocket } from './open-socket.ts';
import { resetSocket } from './reset-socket.ts';
import type { ServerSpec } from './spec.ts';

/**
 * Resolves as soon as a new TCP connection to where this one leads is answered, if only by a refusal, and closes it. Tries
 * until then; rejects only with the signal's reason.
 */
export async function pathAnswers(
  { remoteAddress, remotePort }: Ends,
  binding: Pick<ServerSpec, 'bindAddress' | 'bindInterface'>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await tryUntilAnswered(
    async (patience) => {
      const from = localAddress(binding, isIPv6(remoteAddress) ? 6 : 4);
      const options = { host: remoteAddress, port: remotePort, ...(from === null ? {} : { localAddress: from }) };
      try {
        resetSocket(await openSocket(options, patience, clock, signal));
      } catch (error) {
        if (!ANSWERS.includes(errorCode(error) ?? '')) throw error;
      }
    },
    clock,
    signal,
  );
}

const ANSWERS = ['ECONNREFUSED', 'ECONNRESET'];

/** Tries, each time with more milliseconds of patience, until it succeeds; rejects only with the signal's reason. */
export async function tryUntilAnswered<T>(
  attempt: (patienceMs: number) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  for (let patience = 1500; ; patience = Math.min(patience * 1.5, 10_000)) {
    const started = clock.now();
    try {
      return await abortable(attempt(patience), signal);
    } catch {
      signal.throwIfAborted();
      if (clock.now() - started < 1000) await sleep(clock, 1000, signal);
    }
  }
}
