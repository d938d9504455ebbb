import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemEnvironment } from '../../../src/config/input/environment.ts';
import {
  WorkerUnavailable,
  runInWorker,
  JobLimitExceeded,
  type JobName,
} from '../../../src/lib/async/run-in-worker.ts';
import { tempDir } from '../../support/until.ts';

test('ends a job when it takes more than it may, and gives those that wait their turn', async (t) => {
  const dir = await tempDir(t);
  const configOf = (count: number) => {
    const file = join(dir, `${count}.yaml`);
    const tunnel = (index: number) => `  t${index}: { host: h, remoteForward: "${index + 1}:localhost:80" }\n`;
    writeFileSync(file, `tunnels:\n${Array.from({ length: count }, (_, index) => tunnel(index)).join('')}`);
    return file;
  };
  const load = (source: string, ms: number) =>
    runInWorker<{ config: { file: string } }>(
      'load-config',
      { source: { file: source }, env: { ...systemEnvironment(), env: {} } },
      { ms, mib: 200 },
    );
  const file = configOf(1);
  const all = [load(configOf(1000), 1), load(file, 60_000), load(file, 60_000)];
  const ended = await Promise.allSettled(all);
  const told = ended.map((one) => {
    if (one.status === 'fulfilled') return one.value.config.file;
    assert.ok(one.reason instanceof JobLimitExceeded, String(one.reason));
    return one.reason.what;
  });
  assert.deepEqual(told, ['time', file, file]);
});

test('declines a job when the thread does not know it', async () => {
  await assert.rejects(runInWorker('make-tea' as JobName, null, { ms: 10_000, mib: 64 }), WorkerUnavailable);
});
