import { sleep, type Clock } from '../lib/clock.ts';
import { errorCode } from '../lib/text.ts';
import type { Ends } from './device.ts';
import { openSocket, TimeoutError } from './open-socket.ts';
import { resetSocket } from './reset-socket.ts';

/**
 * Resolves as soon as a new TCP connection to where this one leads is answered, if only by a refusal, and closes it. Tries
 * until then; rejects only with the signal's reason.
 */
export async function pathAnswers(
  { remoteAddress, remotePort }: Ends,
  bindAddress: string | null,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const options = {
    host: remoteAddress,
    port: remotePort,
    ...(bindAddress === null ? {} : { localAddress: bindAddress }),
  };
  for (let patience = 1500; ; patience = Math.min(patience * 1.5, 10_000)) {
    try {
      resetSocket(await openSocket(options, patience, clock, signal));
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (ANSWERS.includes(errorCode(error) ?? '')) return;
      if (!(error instanceof TimeoutError)) await sleep(clock, 1000, signal);
    }
  }
}

const ANSWERS = ['ECONNREFUSED', 'ECONNRESET'];
