import type { Socket } from 'node:net';
import { abortable } from '../../lib/async/abort.ts';
import { sleep, untilCalled } from '../../lib/async/clock.ts';
import { untilOneFails } from '../../lib/async/scope.ts';
import { errorCode, errorText } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { listenRetryDelay } from './retry-delay.ts';
import type { ListenersOptions } from './suspendable-listeners.ts';
import { listenLocally, type LocalListener, type SocketOptions } from './listen-locally.ts';
import type { Refusal } from '../../model/state.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import type { ForwardSpec } from '../../model/spec.ts';

export interface LocalListenersOptions extends ListenersOptions {
  readonly sockets: SocketOptions;
  onVisitor(index: number, socket: Socket): void;
  onUp(index: number): void;
  onRefused(index: number, refusal: Refusal, failure: TunnelFailure): void;
}

/**
 * Keeps this device's listeners among the forwards open until the signal is aborted, and tries again where the system refuses one.
 * Rejects only with the signal.
 */
export function keepLocalListeners(
  forwards: readonly ForwardSpec[],
  options: LocalListenersOptions,
  signal: AbortSignal,
): Promise<never> {
  const local = [...forwards.entries()].filter(([, { kind }]) => kind !== 'remote');
  const kept = local.map(
    ([index, forward]) =>
      (own: AbortSignal) =>
        keep(forward, index, options, own),
  );
  return untilOneFails(signal, kept);
}

async function keep(
  forward: ForwardSpec,
  index: number,
  options: LocalListenersOptions,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random, access, onAnswered, onSuspended } = options;
  for (let since = clock.now(); ;) {
    // A suspended listener counts as answered.
    if (access.isSuspended(index)) onAnswered(index);
    await access.acquire(index, signal);
    try {
      const listener = await open(forward, index, options, signal);
      onAnswered(index);
      if (listener !== null) {
        await untilCalled([access.onSuspended(index)], signal).finally(() => listener.close());
        onSuspended(index);
        since = clock.now();
      }
    } finally {
      access.release(index);
    }
    if (!access.isSuspended(index)) await sleep(clock, listenRetryDelay(clock.now() - since, random), signal);
  }
}

async function open(
  { listen }: ForwardSpec,
  index: number,
  { sockets, onVisitor, onUp, onRefused }: LocalListenersOptions,
  signal: AbortSignal,
): Promise<LocalListener | null> {
  let listener: LocalListener;
  try {
    const opening = listenLocally(listen, sockets, (socket) => onVisitor(index, socket));
    listener = await abortable(opening, signal, (late) => late.close());
  } catch (error) {
    signal.throwIfAborted();
    const code = errorCode(error) ?? '';
    const text = `this device cannot listen on ${formatEndpoint(listen)}: ${REASONS[code] ?? errorText(error)}`;
    onRefused(index, REFUSALS[code] ?? 'unknown', new TunnelFailure('forward-refused', text, { cause: error }));
    return null;
  }
  onUp(index);
  return listener;
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'it is in use by another program',
  EACCES: 'the user that runs tunneld may not (ports below 1024 are for root)',
  EADDRNOTAVAIL: 'this device does not have that address',
};

const REFUSALS: Readonly<Record<string, Refusal>> = { EADDRINUSE: 'in-use', EACCES: 'forbidden' };
