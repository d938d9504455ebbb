import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { watchNetwork, type NetworkView } from '../../src/host/network-watch.ts';
import { loadAddon } from '../../src/lib/addon.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { awake } from '../../src/lib/async/timer-between.ts';
import { mayBuildNetworks } from '../lab/lab-test.ts';
import { fakeClock } from '../support/clock.ts';

function watched(reports = false) {
  const clock = fakeClock();
  let report: (() => void) | null = null;
  const world = { view: { addresses: ['192.0.2.1'], routes: 'eth0' } as NetworkView };
  let asleep = 0;
  const network = watchNetwork(
    clock,
    () => world.view,
    () => clock.now() + asleep,
    (listener) => {
      if (!reports) return null;
      report = listener;
      return () => (report = null);
    },
  );
  const sleep = (ms: number) => (asleep += ms);
  const heard: string[] = [];
  const unsubscribe = network.subscribe((what) => heard.push(what));
  return {
    clock,
    world,
    network,
    heard,
    unsubscribe,
    sleep,
    report: () => report?.(),
    isReported: () => report !== null,
  };
}

test('says nothing while nothing happens', async () => {
  const { clock, heard } = watched();
  await clock.advance(3_600_000);
  assert.deepEqual(heard, []);
});

test('reports a changed address or route once, within a second', async () => {
  const { clock, world, heard } = watched();
  world.view = { ...world.view, addresses: ['192.0.2.2'] };
  await clock.advance(1000);
  assert.deepEqual(heard, ['the network changed']);
  world.view = { ...world.view, routes: 'wlan0' };
  await clock.advance(10_000);
  assert.deepEqual(heard, ['the network changed', 'the network changed']);
});

test('looks only when the kernel reports something, and about twice a minute, where it does', async () => {
  const { clock, world, heard, report } = watched(true);
  let looks = 0;
  const { view } = world;
  Object.defineProperty(world, 'view', {
    get: () => {
      looks += 1;
      return { ...view, routes: looks < 10 ? 'eth0' : 'wlan0' };
    },
  });
  await clock.advance(120_000);
  assert.deepEqual([looks, heard], [3, []]);
  looks = 20;
  for (let i = 0; i < 10; i++) report();
  await clock.advance(49);
  assert.equal(looks, 20);
  report();
  await clock.advance(1);
  assert.deepEqual([looks, heard], [21, ['the network changed']]);
  await clock.advance(1000);
  assert.equal(looks, 21);
});

test('looks along with what wakes the process, but for a quarter of a minute after a look', async () => {
  const { clock, network } = watched(true);
  const looks: number[] = [];
  network.onLook(() => looks.push(clock.now()));
  for (let at = 15_010; at < 120_000; at += 15_010) clock.timer(at, () => awake(clock));
  await clock.advance(120_000);
  assert.deepEqual(looks, [30_020, 60_040, 90_060]);
});

test('reports a sleep at once when the kernel says that the clock was set', async () => {
  const { clock, heard, sleep, report } = watched(true);
  await clock.advance(12_345);
  report();
  await clock.advance(50);
  assert.deepEqual(heard, []);
  sleep(5000);
  report();
  await clock.advance(50);
  assert.deepEqual(heard, ['woke up']);
});

test('has no reports any more when it is stopped', async () => {
  const { clock, network, isReported } = watched(true);
  assert.equal(isReported(), true);
  network.stop();
  assert.equal(isReported(), false);
  await clock.advance(60_000);
});

test('is told by the kernel of this machine, and keeps no process for it', () => {
  const stop = loadAddon().addon?.watchNetwork(() => {});
  assert.equal(typeof stop, 'function');
  stop?.();
  stop?.();
  assert.throws(() => loadAddon().addon?.watchNetwork(null as never), { code: 'WRONG_ARGUMENT' });
});

/** The file of the addon, for programs of their own. */
const ADDON = fileURLToPath(
  new URL(`../../packaging/native/prebuilt/${process.platform}-${process.arch}.node`, import.meta.url),
);

test('is told by the kernel also after a burst of which reports were lost', (t) => {
  if (!mayBuildNetworks(t)) return;
  const addresses = Array.from({ length: 2000 }, (_, i) => `addr add 127.1.${i >> 8}.${i & 255}/32 dev lo`);
  // ip runs while the event loop is blocked: more comes than the socket holds.
  const program = `
    const { execFileSync } = require('node:child_process');
    let told = () => {};
    require(${JSON.stringify(ADDON)}).watchNetwork(() => told());
    const change = (input) => {
      const change = new Promise((resolve) => (told = resolve));
      execFileSync('ip', ['-batch', '-'], { input });
      return change;
    };
    const alive = setTimeout(() => process.exit(7), 60_000);
    const burst = ${JSON.stringify(addresses.join('\n'))};
    change(burst).then(() => change('addr add 192.0.2.9/32 dev lo')).then(() => clearTimeout(alive));
  `;
  execFileSync('unshare', ['--net', process.execPath, '-e', program], { stdio: 'pipe' });
});

test('lets a thread end that has not stopped it', () => {
  const program = `require(${JSON.stringify(ADDON)}).watchNetwork(() => {});`;
  // In a process of its own, which would be aborted.
  const parent = `new (require('node:worker_threads').Worker)(${JSON.stringify(program)}, { eval: true });`;
  execFileSync(process.execPath, ['-e', parent], { stdio: 'pipe' });
});

test('reports a sleep when the time since the boot ran ahead, not when the clock was set', async () => {
  const { clock, heard, sleep } = watched();
  sleep(40_000);
  await clock.advance(1000);
  assert.deepEqual(heard, ['woke up']);
  clock.stepWall(56 * YEAR_MS);
  await clock.advance(5000);
  assert.deepEqual(heard, ['woke up']);
});

const YEAR_MS = 365 * 86_400_000;

test('reports a sleep when a look comes late', async () => {
  const { clock, heard } = watched();
  let late = 0;
  const slow = watchNetwork(
    { ...clock, now: () => clock.now() + late },
    () => ({ addresses: [], routes: '' }),
    () => 0,
    () => null,
  );
  slow.subscribe((what) => heard.push(what));
  late = 40_000;
  await clock.advance(1000);
  assert.deepEqual(heard, ['woke up']);
});

test('does not report to one who no longer listens, and has no timer when it is stopped', async () => {
  const { clock, world, network, heard, unsubscribe } = watched();
  unsubscribe();
  world.view = { ...world.view, routes: '' };
  await clock.advance(1000);
  assert.deepEqual(heard, []);
  network.stop();
  assert.equal(clock.pending(), 0);
});

test('takes an address for lost only when it is gone and there is another', async (t) => {
  const network = watchNetwork(systemClock);
  t.after(() => network.stop());
  assert.equal(await network.lostAddress('127.0.0.1'), false);
  const others = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const another = others.some(({ internal, family }) => !internal && family === 'IPv4');
  assert.equal(await network.lostAddress('203.0.113.77'), another);
});
