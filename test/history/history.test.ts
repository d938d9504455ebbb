import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openHistoryFile, type HistoryFile } from '../../src/history/history-file.ts';
import { openHistory } from '../../src/history/history.ts';
import type { Machine } from '../../src/history/machine.ts';
import type { HistoryRecord } from '../../src/history/outage.ts';
import { initialState, type TunnelState } from '../../src/model/state.ts';
import { fakeClock } from '../support/clock.ts';
import { plainSpec } from '../support/tunnel.ts';
import { tempDir } from '../support/until.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 1);

/** A device that runs for a while; its clock, and what is on its disk, outlive the process. */
async function device(t: TestContext) {
  const path = join(await tempDir(t), 'history.jsonl');
  const clock = fakeClock(START);
  const machine = {
    boots: 1,
    /** Whether the system names its runs. */
    named: true,
    bootedAt: 0,
    synchronised: true as boolean | null,
    lastAlive: null as number | null,
    looked: 0,
  };
  const problems: (string | null)[] = [];
  const facts = (): Machine => ({
    bootId: machine.named ? `boot-${machine.boots}` : '',
    sinceBoot: () => clock.now() - machine.bootedAt,
    isClockSynchronised: () => machine.synchronised,
    lastAlive: () => {
      machine.looked += 1;
      return machine.lastAlive;
    },
  });
  return {
    path,
    clock,
    machine,
    problems,
    lines: () =>
      readFileSync(path, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as HistoryRecord),
    /** What the daemon does at its start. */
    start: async (name = 'backup') => {
      const file = watched(openHistoryFile(path, (message) => problems.push(message)));
      const history = await openHistory({ file, clock, machine: facts() });
      const spec = { ...plainSpec(), name };
      let state: TunnelState = initialState(spec, clock.now());
      const see = (change: Partial<TunnelState>) => {
        state = { ...state, since: clock.now(), ...change } as TunnelState;
        history.observe([{ spec, state, startedAt: 0, previous: [] }]);
      };
      see({});
      return {
        history,
        up: () => see({ phase: 'up', retryAt: null }),
        down: (code: 'keepalive-lost' | 'network-down' = 'keepalive-lost', message = 'it went away') =>
          see({ phase: 'waiting', retryAt: 0, failure: { code, message, hint: '', at: clock.now() } }),
        remove: () => history.observe([]),
        written: file.written,
        past: async () => (await history.pasts()).get(name) ?? assert.fail('nothing is known'),
        flush: async () => {
          await clock.advance(61_000);
          await file.written();
        },
      };
    },
    /** A boot after a loss of power at this time: the machine is off for so long. */
    powerCut: async (offMs: number) => {
      machine.lastAlive = clock.wall();
      await clock.advance(offMs);
      machine.boots += 1;
      machine.bootedAt = clock.now();
    },
  };
}

/** The disk answers in its own time, not in that of the clock. */
function watched(file: HistoryFile) {
  let last: Promise<unknown> = Promise.resolve();
  return {
    read: file.read,
    append: (records: readonly HistoryRecord[]) => {
      const done = file.append(records);
      last = done;
      return done;
    },
    written: () => last,
  };
}

test('records an outage with its cause when it has ended, which survives the daemon', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await pi.clock.advance(HOUR);
  first.down();
  await pi.clock.advance(4000);
  first.up();
  await first.flush();
  const second = await pi.start();
  second.up();
  const { outages } = await second.past();
  assert.deepEqual(
    outages.map(({ from, cause, message, ...outage }) => [
      from - START,
      'to' in outage && outage.to - START,
      cause,
      message,
    ]),
    [
      [HOUR, HOUR + 4000, 'keepalive-lost', 'it went away'],
      // Where the process has not said when it ended, its absence counts from its next start.
      [HOUR + 65_000, HOUR + 65_000, 'not-running', ''],
    ],
  );
});

test('writes nothing when a day is quiet', async (t) => {
  const pi = await device(t);
  const life = await pi.start();
  life.up();
  await life.flush();
  const before = readFileSync(pi.path, 'utf8');
  for (let hour = 0; hour < 24; hour++) {
    await pi.clock.advance(HOUR);
    life.up();
  }
  await life.written();
  assert.equal(readFileSync(pi.path, 'utf8'), before);
  assert.equal(pi.clock.pending(), 0);
});

test('writes once a minute when a tunnel flaps', async (t) => {
  const pi = await device(t);
  let writes = 0;
  const life = await pi.start();
  life.up();
  await life.flush();
  let before = readFileSync(pi.path, 'utf8');
  for (let second = 0; second < 300; second++) {
    if (second % 2 === 0) life.down();
    else life.up();
    await pi.clock.advance(1000);
    await life.written();
    const now = readFileSync(pi.path, 'utf8');
    if (now !== before) writes += 1;
    before = now;
  }
  assert.ok(writes <= 6, `${writes} writes in five minutes`);
  assert.equal((await life.past()).outages.length, 150);
});

test('writes an outage before its end when it lasts, and goes on with it after a loss of power', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await pi.clock.advance(HOUR);
  first.down('network-down');
  await pi.clock.advance(400_000);
  await first.written();
  await pi.powerCut(2 * HOUR);
  const second = await pi.start();
  await pi.clock.advance(30_000);
  second.up();
  await second.flush();
  const [outage, ...others] = (await second.past()).outages;
  assert.deepEqual(others, []);
  assert.equal(outage?.from, START + HOUR);
  assert.equal(outage.cause, 'network-down');
  assert.equal(outage.offMs, 2 * HOUR);
});

test('counts the time without power as such, from the last sign of life', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await pi.clock.advance(HOUR);
  await first.flush();
  await pi.powerCut(3 * HOUR);
  const second = await pi.start();
  await pi.clock.advance(20_000);
  second.up();
  await second.flush();
  assert.deepEqual(
    pi.lines().filter(({ type }) => type === 'outage'),
    [
      {
        type: 'outage',
        tunnel: 'backup',
        from: START + HOUR + 61_000,
        cause: 'device-off',
        message: '',
        visitors: 0,
        offMs: 3 * HOUR,
        to: START + 4 * HOUR + 81_000,
        ended: 'up',
        boot: 'boot-2',
      },
    ],
  );
});

test('counts from the orderly end when the daemon starts after one', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await pi.clock.advance(HOUR);
  await first.history.stop();
  await pi.clock.advance(90_000);
  const second = await pi.start();
  second.up();
  const { outages } = await second.past();
  assert.deepEqual(
    outages.map((outage) => [outage.from - START, 'to' in outage && outage.to - START, outage.cause, outage.offMs]),
    [[HOUR, HOUR + 90_000, 'not-running', 0]],
  );
});

test('corrects times when the network sets the clock after a boot in 1970', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await first.flush();
  await pi.powerCut(HOUR);
  pi.clock.stepWall(-pi.clock.wall());
  pi.machine.synchronised = false;
  const second = await pi.start();
  await pi.clock.advance(10_000);
  second.up();
  await second.flush();
  assert.equal(pi.lines().filter(({ type }) => type === 'outage').length, 0, 'written with a clock that was wrong');
  pi.clock.stepWall(START + pi.clock.now() - pi.clock.wall());
  pi.machine.synchronised = true;
  await second.flush();
  const outage = pi.lines().find(({ type }) => type === 'outage');
  assert.ok(outage?.type === 'outage');
  assert.deepEqual([outage.from, outage.to, outage.clock], [START + 61_000, START + HOUR + 71_000, undefined]);
});

test('marks a record when the clock is never set', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await first.flush();
  await pi.powerCut(HOUR);
  pi.machine.synchronised = false;
  const second = await pi.start();
  second.up();
  await pi.clock.advance(700_000);
  await second.written();
  const outage = pi.lines().find(({ type }) => type === 'outage');
  assert.ok(outage?.type === 'outage');
  assert.equal(outage.clock, 'unsure');
});

test('stops watching a tunnel when it is removed, also between two lives', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await pi.clock.advance(HOUR);
  first.remove();
  await pi.clock.advance(HOUR);
  assert.deepEqual((await first.past()).watched, [{ from: START, to: START + HOUR }]);
  await first.history.stop();
  const second = await pi.start();
  second.up();
  await second.history.stop();
  const third = await pi.start('another');
  const past = (await third.history.pasts()).get('backup');
  assert.deepEqual(past?.watched.at(-1), { from: START + 2 * HOUR, to: START + 2 * HOUR });
  assert.deepEqual(past.outages, []);
});

test('drops a line when a loss of power has torn it, and keeps aside what is damaged', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await first.history.stop();
  const whole = pi.lines().length;
  appendFileSync(pi.path, '{"type":"outage","tun');
  await (await pi.start()).history.pasts();
  assert.equal(pi.lines().length, whole);
  assert.deepEqual(
    pi.problems.filter((problem) => problem !== null),
    [],
  );
  assert.equal(existsSync(`${pi.path}.damaged`), false);

  appendFileSync(pi.path, 'rubbish\n');
  await (await pi.start()).history.pasts();
  assert.equal(pi.lines().length, whole);
  assert.match(readFileSync(`${pi.path}.damaged`, 'utf8'), /rubbish/);
  assert.match(pi.problems.find((problem) => problem !== null) ?? '', /history\.jsonl\.damaged, and a new one begins/);
});

test('keeps a history aside when it is no file, or huge, and begins a new one', async (t) => {
  for (const spoil of [(path: string) => mkdirSync(path), (path: string) => writeFileSync(path, 'x'.repeat(2 ** 21))]) {
    const pi = await device(t);
    spoil(pi.path);
    const life = await pi.start();
    life.up();
    await life.flush();
    assert.deepEqual(
      pi.lines().map(({ type }) => type),
      ['begin'],
    );
    assert.ok(existsSync(`${pi.path}.damaged`));
  }
});

test('says once when it cannot write, and writes when it can', async (t) => {
  const pi = await device(t);
  const life = await pi.start();
  life.up();
  await life.flush();
  rmSync(pi.path);
  mkdirSync(pi.path);
  mkdirSync(`${pi.path}.damaged`);
  writeFileSync(join(`${pi.path}.damaged`, 'in-the-way'), '');
  life.down();
  life.up();
  await life.flush();
  assert.match(pi.problems.at(-1) ?? '', /not written/);
  assert.equal((await life.past()).outages.length, 1);
  rmSync(pi.path, { recursive: true });
  life.down();
  life.up();
  await life.flush();
  assert.equal(pi.problems.at(-1), null);
  assert.equal(pi.lines().filter(({ type }) => type === 'outage').length, 2);
});

test('bounds the file, and still knows a tunnel when it had no outage', async (t) => {
  const path = join(await tempDir(t), 'history.jsonl');
  const file = openHistoryFile(path, (problem) => assert.equal(problem, null));
  const message = 'm'.repeat(900);
  const facts = { tunnel: 'flapping', cause: 'disconnected', message, visitors: 0, offMs: 0, boot: 'b' } as const;
  await file.append([{ type: 'begin', tunnel: 'quiet', at: 1, boot: 'b' }]);
  for (let batch = 0; batch < 50; batch++)
    await file.append(
      Array.from({ length: 40 }, (_, index) => {
        const from = 1000 * (40 * batch + index);
        return { type: 'outage', ...facts, from, to: from + 10, ended: 'up' } as const;
      }),
    );
  const text = readFileSync(path, 'utf8');
  assert.ok(text.length <= 256 * 1024, `${text.length} bytes`);
  const records = await file.read();
  assert.ok(records.length >= 150 && records.length <= 1000, `${records.length} records`);
  const last = records.at(-1);
  assert.equal(last?.type === 'outage' && last.from, 1_999_000);
  assert.equal(records.filter((record) => record.type === 'begin' && record.tunnel === 'quiet').length, 1);
});

test('writes what it can read again when a message is long or a time no whole number', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await pi.clock.advance(1000.4);
  first.down('keepalive-lost', 'm'.repeat(5000));
  await pi.clock.advance(0.3);
  first.up();
  await first.flush();
  pi.machine.lastAlive = pi.clock.wall() - 10_000.25;
  pi.machine.boots += 1;
  pi.machine.bootedAt = pi.clock.now();
  const second = await pi.start();
  second.up();
  await second.flush();
  const third = await pi.start();
  const [outage, off] = (await third.past()).outages;
  assert.deepEqual([outage?.message.length, off?.cause], [1000, 'device-off']);
  assert.equal(existsSync(`${pi.path}.damaged`), false);
});

test('reads what it knows when a newer version has written more', async (t) => {
  const pi = await device(t);
  const facts = { tunnel: 'backup', from: START, to: START + 5000, visitors: 0, offMs: 0, boot: 'boot-1' };
  const lines = [
    { type: 'begin', tunnel: 'backup', at: START, boot: 'boot-1', by: 'a newer one' },
    { type: 'outage', ...facts, cause: 'solar-flare', message: 'm'.repeat(3000), ended: 'evaporated', clock: 'bent' },
    { type: 'weather', at: START, boot: 'boot-1' },
    { type: 'stop', at: START + 6000, boot: 'boot-1' },
  ];
  writeFileSync(pi.path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const { outages } = await (await pi.start()).past();
  assert.equal(outages[0]?.cause, 'unknown');
  assert.deepEqual([existsSync(`${pi.path}.damaged`), pi.lines().length, pi.problems], [false, 4, []]);
});

test('leaves a history where it is, says so, and writes later when the system refuses to show it', async (t) => {
  const pi = await device(t);
  // What opens it gets an error of the system (ELOOP), as from a disk that fails or without a free descriptor.
  symlinkSync('history.jsonl', pi.path);
  const life = await pi.start();
  assert.match(pi.problems.at(-1) ?? '', /history\.jsonl: not read: ELOOP/);
  life.up();
  await life.flush();
  assert.match(pi.problems.at(-1) ?? '', /not written: ELOOP/);
  assert.equal(existsSync(`${pi.path}.damaged`), false);
  rmSync(pi.path);
  writeFileSync(pi.path, `${JSON.stringify({ type: 'begin', tunnel: 'other', at: START, boot: 'boot-1' })}\n`);
  assert.ok((await life.history.pasts()).has('other'));
  assert.equal(pi.problems.at(-1), null);
  life.down();
  life.up();
  await life.flush();
  assert.deepEqual(
    pi.lines().map((line) => `${line.type} ${line.type === 'stop' ? '' : line.tunnel}`),
    ['begin other', 'begin backup', 'outage backup'],
  );
});

test('records nothing more when it was stopped', async (t) => {
  const pi = await device(t);
  const life = await pi.start();
  life.up();
  await life.history.stop();
  life.down();
  life.remove();
  await life.history.stop();
  assert.equal(pi.clock.pending(), 0);
  assert.deepEqual(
    pi.lines().map(({ type }) => type),
    ['begin', 'stop'],
  );
});

test('takes no restart for a loss of power when the system names no run of the machine', async (t) => {
  const pi = await device(t);
  pi.machine.named = false;
  await pi.clock.advance(HOUR);
  const first = await pi.start();
  first.up();
  await first.flush();
  await pi.clock.advance(HOUR);
  const second = await pi.start();
  second.up();
  await second.flush();
  await pi.powerCut(2 * HOUR);
  const third = await pi.start();
  third.up();
  assert.deepEqual(
    (await third.past()).outages.map(({ cause, offMs }) => [cause, offMs]),
    [
      ['not-running', 0],
      ['device-off', 2 * HOUR],
    ],
  );
});

test('looks for the last sign of life once, and again when the clock was set', async (t) => {
  const pi = await device(t);
  const first = await pi.start();
  first.up();
  await first.flush();
  await pi.powerCut(HOUR);
  const second = await pi.start();
  for (let look = 0; look < 20; look++) {
    second.down();
    await second.past();
    await pi.clock.advance(100);
  }
  assert.equal(pi.machine.looked, 1);
  pi.clock.stepWall(HOUR);
  await second.past();
  assert.equal(pi.machine.looked, 2);
});
