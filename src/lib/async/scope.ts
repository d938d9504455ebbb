import { abortable } from './abort.ts';

/** Tasks that live no longer than the block that started them. */
export interface Scope {
  /** Aborted as soon as the first of them fails or the block ends. */
  readonly signal: AbortSignal;
  /**
   * Starts a task beside the others; its failure ends all of them. The task must end soon after its signal is aborted.
   */
  start(task: (signal: AbortSignal) => Promise<unknown>): void;
}

/**
 * Runs `body` and the tasks that it starts. Whichever fails first aborts the others, and so does the end of `body`. Settles only when
 * all have ended: resolves with what `body` answers, or rejects with the first failure or the reason of a parent. Nothing stays behind.
 */
export async function withScope<T>(
  parents: AbortSignal | readonly AbortSignal[],
  body: (scope: Scope) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const follows = [parents].flat().map((parent) => {
    parent.throwIfAborted();
    return { parent, follow: () => controller.abort(parent.reason) };
  });
  for (const { parent, follow } of follows) parent.addEventListener('abort', follow, { once: true });
  const tasks: Promise<unknown>[] = [];
  const answers: T[] = [];
  const start = (task: (signal: AbortSignal) => Promise<unknown>) => {
    tasks.push(task(signal).catch((error: unknown) => controller.abort(error)));
  };
  start(async () => {
    answers.push(await body({ signal, start }));
    controller.abort(OVER);
  });
  // A task may start others until the last one has ended.
  for (let ended = 0; ended < tasks.length; ended += 1) await tasks[ended];
  for (const { parent, follow } of follows) parent.removeEventListener('abort', follow);
  if (signal.reason !== OVER) throw signal.reason as Error;
  return answers[0] as T;
}

const OVER = new Error('the scope is over');

/**
 * The first of these tasks to end decides, with its answer or its failure; the others are aborted and waited for. An answer that does not
 * count, because it came second or after a parent's abort, is passed to `dispose`, which closes it.
 */
export async function firstToEnd<T>(
  parents: AbortSignal | readonly AbortSignal[],
  tasks: readonly ((signal: AbortSignal) => Promise<T>)[],
  dispose: (late: T) => void = () => {},
): Promise<T> {
  const decided = new Error('another task was first');
  const answers: T[] = [];
  try {
    return await withScope(parents, async (scope) => {
      for (const task of tasks) {
        scope.start(async (own) => {
          answers.push(await task(own));
          throw decided;
        });
      }
      return await aborted(scope.signal);
    });
  } catch (error) {
    for (const late of error === decided ? answers.slice(1) : answers) dispose(late);
    if (error !== decided) throw error;
    return answers[0] as T;
  }
}

/** Runs tasks that do not end by themselves, until one of them fails. Without tasks, it waits for the signal. */
export function untilOneFails(
  signal: AbortSignal,
  tasks: readonly ((signal: AbortSignal) => Promise<never>)[],
): Promise<never> {
  return withScope(signal, (scope) => {
    for (const task of tasks) scope.start(task);
    return aborted(scope.signal);
  });
}

/** Rejects with the signal's reason, once it is aborted. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/** A task that waits for work that cannot be cancelled: the task ends with its signal, the work goes on. See abortable(). */
export function waitFor<T>(promise: Promise<T>, dispose?: (late: T) => void): (signal: AbortSignal) => Promise<T> {
  return (signal) => abortable(promise, signal, dispose);
}
