import type { Socket } from 'node:net';
import { sleep, type Clock } from '../lib/clock.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { TunnelFailure } from './failure.ts';
import { askAgainAfter } from './forwards.ts';
import { listenLocally, type LocalListener } from './local-listener.ts';
import type { Refusal } from './loopback.ts';
import { formatEndpoint, type ForwardSpec } from './spec.ts';

export interface LocalForwardsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** See StreamLocalBindUnlink. */
  readonly replace: boolean;
  onVisitor(index: number, socket: Socket): void;
  onUp(index: number): void;
  onRefused(index: number, refusal: Refusal, failure: TunnelFailure): void;
}

/**
 * Opens this device's listeners among the forwards for as long as the signal lets them, and goes on trying for those that the
 * system refuses. `answered` resolves when each was tried once, `granted` when the last one listens.
 */
export function openLocalForwards(
  forwards: readonly ForwardSpec[],
  options: LocalForwardsOptions,
  signal: AbortSignal,
): { readonly answered: Promise<void>; readonly granted: Promise<void> } {
  const tries = [...forwards.entries()]
    .filter(([, { kind }]) => kind !== 'remote')
    .map(([index, forward]) => {
      const first = open(forward, index, options, signal);
      const granted = first.then((ok) => (ok ? undefined : keepTrying(forward, index, options, signal)));
      granted.catch(() => {});
      return { first, granted };
    });
  const answered = Promise.all(tries.map(({ first }) => first)).then(() => {});
  const granted = Promise.all(tries.map((one) => one.granted)).then(() => {});
  answered.catch(() => {});
  granted.catch(() => {});
  return { answered, granted };
}

async function keepTrying(
  forward: ForwardSpec,
  index: number,
  options: LocalForwardsOptions,
  signal: AbortSignal,
): Promise<void> {
  const since = options.clock.now();
  for (;;) {
    await sleep(options.clock, askAgainAfter(options.clock.now() - since, options.random), signal);
    if (await open(forward, index, options, signal)) return;
  }
}

async function open(
  { listen }: ForwardSpec,
  index: number,
  { replace, onVisitor, onUp, onRefused }: LocalForwardsOptions,
  signal: AbortSignal,
): Promise<boolean> {
  let listener: LocalListener;
  try {
    listener = await listenLocally(listen, replace, (socket) => onVisitor(index, socket));
  } catch (error) {
    signal.throwIfAborted();
    const code = errorCode(error) ?? '';
    const text = `this device cannot listen on ${formatEndpoint(listen)}: ${REASONS[code] ?? errorText(error)}`;
    onRefused(index, REFUSALS[code] ?? 'unknown', new TunnelFailure('forward-refused', text, { cause: error }));
    return false;
  }
  if (signal.aborted) {
    listener.close();
    throw signal.reason as Error;
  }
  signal.addEventListener('abort', () => listener.close(), { once: true });
  onUp(index);
  return true;
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'it is in use by another program',
  EACCES: 'the user that runs tunneld may not (ports below 1024 are for root)',
  EADDRNOTAVAIL: 'that is no address of this device',
};

const REFUSALS: Readonly<Record<string, Refusal>> = { EADDRINUSE: 'in-use', EACCES: 'forbidden' };
