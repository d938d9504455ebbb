import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, until } from '../support/until.ts';
import { startSupervised } from '../support/supervised.ts';

const COUNT = 200;

test('does one by one what hundreds of tunnels begin together, and reports it together', async (t) => {
  const { supervisor, apply, spec } = await startSupervised(t);
  const port = await freePort();
  const specs = (target: number) =>
    Array.from({ length: COUNT }, (_, index) => spec(`t${index}`, [1000 + index], { port, connectTimeoutMs: target }));
  const begun = () => supervisor.tunnels().filter(({ state }) => state.attempts > 0).length;
  let told = 0;
  supervisor.subscribe(() => (told += 1));

  const plan = await apply(...specs(9000));
  assert.equal(plan.added.length, COUNT);
  assert.equal(supervisor.tunnels().length, COUNT);
  assert.ok(begun() < COUNT, 'the loop had no turn of its own between them');
  await until(() => begun() === COUNT, { what: 'the first attempt of each' });
  // Each has told at least of the attempt, and of its end.
  assert.ok(told < 2 * COUNT, `${told} times`);

  const changed = await apply(...specs(9001));
  assert.equal(changed.changed.length, COUNT);
  await until(() => begun() === COUNT, { what: 'the first attempt of each that replaces one' });
  const same = await apply(...specs(9001));
  assert.equal(same.unchanged.length, COUNT);
});
