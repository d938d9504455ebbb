import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { loadInThread, loadFrom } from '../../src/config/load-in-thread.ts';
import { ConfigError } from '../../src/config/input/problem.ts';
import { watchTurns } from '../support/loop-delay.ts';
import { tempDir } from '../support/until.ts';

const env = systemEnvironment();
const problemsOf = async (work: Promise<unknown>) =>
  await work.then(
    () => assert.fail('it is valid'),
    (error: unknown) => (error instanceof ConfigError ? error.problems : assert.fail(String(error))),
  );

test('returns from the thread the same configuration as without one', async (t) => {
  const file = fileURLToPath(new URL('../../config.example.yaml', import.meta.url));
  for (const source of [{ file }, { sshArguments: ['-NR', '8080:localhost:80', 'host'], name: 'host' }])
    assert.deepStrictEqual(await loadInThread(source, env), await loadFrom(source, env));

  const broken = join(await tempDir(t), 'config.yaml');
  writeFileSync(broken, 'tunnels:\n  a: { prot: 1 }\n  b: { remoteForward: x }\n');
  const source = { file: broken };
  assert.deepEqual(await problemsOf(loadInThread(source, env)), await problemsOf(loadFrom(source, env)));
  const missing = { file: `${broken}.none` };
  assert.deepEqual(await problemsOf(loadInThread(missing, env)), await problemsOf(loadFrom(missing, env)));
});

test('keeps the event loop going while a large configuration is read', async (t) => {
  const file = join(await tempDir(t), 'config.yaml');
  const tunnel = (index: number) => `  t${index}: { host: h, remoteForward: "${index + 1}:localhost:80" }\n`;
  writeFileSync(file, `tunnels:\n${Array.from({ length: 1000 }, (_, index) => tunnel(index)).join('')}`);
  const turns = watchTurns();
  const { tunnels } = await loadInThread({ file }, env);
  assert.equal(tunnels.length, 1000);
  const { total, longest } = turns();
  assert.ok(longest < total / 3, `${longest} of ${total} ms`);
});
