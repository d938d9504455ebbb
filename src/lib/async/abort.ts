import { createSlots, type Slots } from '../slots.ts';

/**
 * Waits for `promise`, or rejects with the signal's reason as soon as it is aborted. The promise itself goes on: for work that cannot be
 * cancelled (a name look-up). Its late result is passed to `dispose`, which closes it; its late failure is not an unhandled rejection.
 */
export function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  dispose: (late: T) => void = () => {},
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let isLate = false;
    const onAbort = () => {
      isLate = true;
      reject(signal.reason as Error);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise
      .then((value) => (isLate ? dispose(value) : resolve(value)), reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * Calls `action` once when the signal is aborted; the result unsubscribes. In place of addEventListener() for what comes and goes by the
 * thousand during the life of a signal: that costs as much as the rest of a visit's clean-up.
 */
export function onceAborted(signal: AbortSignal, action: () => void): () => void {
  const actions = actionsOf.get(signal) ?? subscribe(signal);
  const number = actions.add(action);
  return () => actions.remove(number, action);
}

const actionsOf = new WeakMap<AbortSignal, Slots<() => void>>();

function subscribe(signal: AbortSignal): Slots<() => void> {
  const actions = createSlots<() => void>();
  actionsOf.set(signal, actions);
  const callAll = () => {
    for (const [number, action] of actions.entries()) {
      actions.remove(number);
      callAlone(action);
    }
  };
  signal.addEventListener('abort', callAll, { once: true });
  return actions;
}

/** What it throws is uncaught, as in a listener of the signal, and keeps no other from being called. */
function callAlone(action: () => void): void {
  try {
    action();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/** A promise with its two functions; an unhandled rejection of it is not an error. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/**
 * A controller that follows each of `parents`, and can be aborted by itself; `dispose` unsubscribes from the parents.
 */
export function childController(...parents: readonly AbortSignal[]): AbortController & { dispose(): void } {
  const controller = new AbortController();
  const unsubscribes = parents.map((parent) => {
    const follow = () => controller.abort(parent.reason);
    if (parent.aborted) follow();
    else parent.addEventListener('abort', follow, { once: true });
    return () => parent.removeEventListener('abort', follow);
  });
  const dispose = () => {
    for (const unsubscribe of unsubscribes) unsubscribe();
  };
  return Object.assign(controller, { dispose });
}
