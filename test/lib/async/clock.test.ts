import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../../src/lib/addon.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';

for (const seldomFires of [false, true])
  test(`calls once, and not early; and not at all when it is cancelled (${seldomFires ? 'seldom' : 'often'})`, async () => {
    const calls: string[] = [];
    const cancelled = systemClock.timer(1, () => calls.push('cancelled'), seldomFires);
    cancelled();
    cancelled();
    const started = systemClock.now();
    const cancelAfterwards = await new Promise<() => void>((resolve) => {
      const cancel = systemClock.timer(
        20.5,
        () => {
          calls.push('fired');
          resolve(cancel);
        },
        seldomFires,
      );
    });
    assert.ok(systemClock.now() - started >= 20.5);
    cancelAfterwards();
    await new Promise<void>((resolve) => systemClock.timer(20, resolve, seldomFires));
    assert.deepEqual(calls, ['fired']);
  });

test('calls none early, whatever the fractions of a millisecond', async () => {
  const early: number[] = [];
  const one = async (ms: number) => {
    const started = systemClock.now();
    await new Promise<void>((resolve) => systemClock.timer(ms, resolve));
    const lasted = systemClock.now() - started;
    if (lasted < ms) early.push(ms - lasted);
  };
  for (let round = 0; round < 10; round++)
    await Promise.all(Array.from({ length: 20 }, (_, index) => one(round / 10 + index * 0.37)));
  assert.deepEqual(early, []);
});

test('refuses a time or a listener that is none', () => {
  const { addon } = loadAddon();
  for (const args of [[], [1], [-1, () => {}], [Number.NaN, () => {}], [2 ** 32, () => {}], [1, {}], ['1', () => {}]])
    assert.throws(() => Reflect.apply(addon!.startTimer, null, args), { code: 'WRONG_ARGUMENT' });
});

const ADDON = fileURLToPath(
  new URL(`../../../packaging/native/prebuilt/${process.platform}-${process.arch}.node`, import.meta.url),
);

test('lets a thread end that has timers, and frees those that are forgotten', () => {
  const program = `
    const { startTimer } = require(${JSON.stringify(ADDON)});
    for (let i = 0; i < 1000; i++) startTimer(1e6, () => {});
    for (let i = 0; i < 1000; i++) startTimer(1e6, () => {})();
    startTimer(1, () => process.exit(3));
  `;
  // In a process of its own, which would be aborted.
  const parent = `
    new (require('node:worker_threads').Worker)(${JSON.stringify(program)}, { eval: true }).on('exit', console.log);
    const { startTimer } = require(${JSON.stringify(ADDON)});
    let fired = 0;
    for (let i = 0; i < 1000; i++) startTimer(i % 5, () => fired++);
    const collect = setInterval(() => {
      gc();
      if (fired === 1000) clearInterval(collect);
    }, 5);
  `;
  const output = execFileSync(process.execPath, ['--expose-gc', '-e', parent], { encoding: 'utf8' });
  assert.equal(output, '3\n');
});

test('reports what a timer throws as an uncaught exception, and goes on', () => {
  const program = `
    const { startTimer } = require(${JSON.stringify(ADDON)});
    process.on('uncaughtException', ({ message }) => console.log(message));
    startTimer(1, () => { throw new Error('thrown'); });
    startTimer(2, () => console.log('next'));
  `;
  const output = execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  assert.equal(output, 'thrown\nnext\n');
});
