import { parentPort, workerData } from 'node:worker_threads';
import type { JobMessage, JobName, JobData } from './lib/async/run-in-worker.ts';
import { VERSION } from './lib/version.ts';

/** What runInWorker() does: each with the module that it needs, and no other, loaded before its time begins to count. */
const JOBS: Readonly<Record<JobName, () => Promise<(input: never) => unknown>>> = {
  'load-config': async () => (await import('./config/load-in-thread.ts')).loadConfigJob,
  'modular-power': async () => (await import('./connection/ssh2/kex/modular-power.ts')).modularPowerOf,
  'decrypt-key': async () => (await import('./connection/auth/open-key.ts')).decryptKey,
};

const { name, input, version } = workerData as JobData;
const send = (message: JobMessage) => parentPort?.postMessage(message, []);

if (version === VERSION && name in JOBS) void doJob();

async function doJob(): Promise<void> {
  const job = await JOBS[name]();
  send({ type: 'started' });
  send({ type: 'done', result: await job(input as never) });
}
