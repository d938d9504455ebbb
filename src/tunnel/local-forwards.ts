import type { Socket } from 'node:net';
import { sleep, type Clock } from '../lib/clock.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { TunnelFailure } from './failure.ts';
import { askAgainAfter } from './forwards.ts';
import { listenLocally, type LocalListener } from './local-listener.ts';
import type { Refusal } from './refusal.ts';
import { formatEndpoint, type ForwardSpec } from './spec.ts';

export interface LocalForwardsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** See StreamLocalBindUnlink. */
  readonly replace: boolean;
  onVisitor(index: number, socket: Socket): void;
  onUp(index: number): void;
  onRefused(index: number, refusal: Refusal, failure: TunnelFailure): void;
  /** Every one was tried once. */
  onAnswered(): void;
}

/**
 * Opens this device's listeners among the forwards for as long as the signal lets them, and goes on trying for those that the
 * system refuses. Never rejects but with the signal.
 */
export async function keepLocalForwards(
  forwards: readonly ForwardSpec[],
  options: LocalForwardsOptions,
  signal: AbortSignal,
): Promise<never> {
  const local = [...forwards.entries()].filter(([, { kind }]) => kind !== 'remote');
  const first = local.map(([index, forward]) => open(forward, index, options, signal));
  const kept = local.map(async ([index, forward], at) => {
    if (!(await first[at])) await keepTrying(forward, index, options, signal);
  });
  await Promise.all(first);
  options.onAnswered();
  await Promise.all(kept);
  return await new Promise<never>(() => {});
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
