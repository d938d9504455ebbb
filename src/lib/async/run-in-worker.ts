import { Worker } from 'node:worker_threads';
import { errorCode } from '../text.ts';
import { VERSION } from '../version.ts';

/** The limits of a job; it is ended when it exceeds one. */
export interface JobLimits {
  /** In milliseconds, from the start of its thread. */
  readonly ms: number;
  /** In MiB of JavaScript heap. */
  readonly mib: number;
}

/** The jobs of src/worker.ts. */
export type JobName = 'decrypt-key' | 'load-config' | 'modular-power';

export class JobLimitExceeded extends Error {
  readonly what: 'time' | 'memory';

  constructor(what: 'time' | 'memory') {
    super(what === 'time' ? 'it took too long' : 'it took too much memory');
    this.what = what;
  }
}

/** No thread could be started, or it ended in a way that says nothing about the job. */
export class WorkerUnavailable extends Error {}

/**
 * Runs a job in a thread of its own, which ends with it: for what takes longer than the event loop may be blocked.
 * Input and result are copied. Two jobs run at a time; others wait. Rejects with a JobLimitExceeded or a
 * WorkerUnavailable; a failure of the job itself is in its result.
 */
export async function runInWorker<Result>(name: JobName, input: unknown, limits: JobLimits): Promise<Result> {
  await acquireSlot();
  try {
    return (await runJob(name, input, limits)) as Result;
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

async function acquireSlot(): Promise<void> {
  if (running === MAX_RUNNING) return await new Promise((resolve) => waiting.push(resolve));
  running += 1;
}

const MAX_RUNNING = 2;
let running = 0;
const waiting: (() => void)[] = [];

/** The workerData of the thread. */
export interface JobData {
  readonly name: JobName;
  readonly input: unknown;
  /** An upgrade may have replaced the thread's file while the daemon runs: then the thread declines. */
  readonly version: string;
}

export type JobMessage = { readonly type: 'started' } | { readonly type: 'done'; readonly result: unknown };

async function runJob(name: JobName, input: unknown, { ms, mib }: JobLimits): Promise<unknown> {
  let cancel = () => {};
  let worker: Worker | null = null;
  try {
    return await new Promise((resolve, reject) => {
      const limit = (milliseconds: number, error: Error) => {
        cancel();
        const timer = setTimeout(() => reject(error), milliseconds);
        cancel = () => clearTimeout(timer);
      };
      worker = new Worker(WORKER_FILE, {
        workerData: { name, input, version: VERSION } satisfies JobData,
        // The job gets no environment.
        env: {},
        resourceLimits: { maxOldGenerationSizeMb: mib },
        stdout: true,
        stderr: true,
      });
      limit(START_MS, new WorkerUnavailable('the thread did not start'));
      worker.on('message', (message: JobMessage) => {
        if (message.type === 'started') limit(ms, new JobLimitExceeded('time'));
        else resolve(message.result);
      });
      worker.on('error', (error) =>
        reject(
          errorCode(error) === 'ERR_WORKER_OUT_OF_MEMORY'
            ? new JobLimitExceeded('memory')
            : new WorkerUnavailable(error.message, { cause: error }),
        ),
      );
      worker.on('exit', () => reject(new WorkerUnavailable('the thread ended without an answer')));
    });
  } catch (error) {
    throw error instanceof JobLimitExceeded || error instanceof WorkerUnavailable
      ? error
      : new WorkerUnavailable(String(error), { cause: error });
  } finally {
    cancel();
    await (worker as Worker | null)?.terminate();
  }
}

/** In a bundle this module is one of the chunks, and the worker's file lies beside it (packaging/build.mjs). */
const FROM_SOURCES = import.meta.url.endsWith('.ts');
const WORKER_FILE = new URL(FROM_SOURCES ? '../../../packaging/worker.mjs' : './worker.js', import.meta.url);

/** A small computer under load may need seconds to start a thread. */
const START_MS = 30_000;
