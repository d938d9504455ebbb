import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createChangeHook, runProgram, type ChangeFacts } from '../../src/alerts/on-change.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { fakeClock } from '../support/clock.ts';
import { runningTunnel } from '../support/running.ts';
import { tempDir, until } from '../support/until.ts';

const START = fakeClock().wall();
const UP = runningTunnel('a', { phase: 'up' });
const DOWN = downSince(0);

function downSince(at: number) {
  const failure = { code: 'keepalive-lost', message: 'm', hint: 'look at the cable', at } as const;
  return runningTunnel('a', { phase: 'waiting', retryAt: 0, failure });
}

function hooked() {
  const clock = fakeClock();
  const told: string[] = [];
  const problems: (string | null)[] = [];
  const results: Promise<string | null>[] = [];
  const hook = createChangeHook({
    clock,
    onProblem: (message) => problems.push(message),
    run: (_, facts) => {
      const { TUNNELD_TUNNEL: name, TUNNELD_STATE: state, TUNNELD_CAUSE: cause, TUNNELD_SINCE: since } = facts;
      told.push(`${clock.now()} ${name} ${state} ${cause} ${Date.parse(since) - START}`);
      return results.shift() ?? Promise.resolve(null);
    },
  });
  hook.configure({ command: ['/bin/alarm'], afterMs: 60_000 });
  return { clock, told, problems, results, hook };
}

test('runs the program when a change has lasted', async () => {
  const { clock, told, hook } = hooked();
  hook.observe([UP]);
  await clock.advance(100_000);
  hook.observe([downSince(100_000)]);
  await clock.advance(59_000);
  hook.observe([downSince(159_000)]);
  assert.deepEqual(told, []);
  await clock.advance(100_000);
  hook.observe([UP]);
  await clock.advance(200_000);
  assert.deepEqual(told, ['160000 a down keepalive-lost 100000', '319000 a up  259000']);
  assert.equal(clock.pending(), 0);
});

test('does not run when a change was a blip, or when a tunnel comes up after the start', async () => {
  const { clock, told, hook } = hooked();
  hook.observe([DOWN]);
  await clock.advance(30_000);
  hook.observe([UP]);
  await clock.advance(600_000);
  hook.observe([DOWN]);
  await clock.advance(59_999);
  hook.observe([UP]);
  await clock.advance(600_000);
  assert.deepEqual(told, []);
});

test('tells no cause when the last failure was of an earlier outage', async () => {
  const { clock, told, hook } = hooked();
  hook.observe([UP]);
  await clock.advance(100_000);
  hook.observe([downSince(50_000)]);
  await clock.advance(60_000);
  assert.deepEqual(told, ['160000 a down  100000']);
});

test('reports only the last state when the program is slow', async () => {
  const { clock, told, results, hook } = hooked();
  let finish = () => {};
  results.push(new Promise((resolve) => (finish = () => resolve(null))));
  hook.observe([DOWN]);
  await clock.advance(60_000);
  for (let change = 0; change < 10; change++) {
    hook.observe([change % 2 === 0 ? UP : DOWN]);
    await clock.advance(60_000);
  }
  assert.equal(told.length, 1);
  finish();
  await clock.advance(0);
  assert.equal(told.length, 1, 'the tunnel is as it was told');
});

test('forgets a tunnel when it is removed', async () => {
  const { clock, told, hook } = hooked();
  hook.observe([DOWN]);
  hook.observe([]);
  await clock.advance(600_000);
  assert.deepEqual([told, clock.pending()], [[], 0]);
});

test('shows what went wrong until a run succeeds', async () => {
  const { clock, problems, results, hook } = hooked();
  results.push(Promise.resolve('it ended with exit code 3'));
  hook.observe([DOWN]);
  await clock.advance(60_000);
  assert.deepEqual(problems, ['onChange /bin/alarm: it ended with exit code 3']);
  hook.observe([UP]);
  await clock.advance(60_000);
  assert.equal(problems.at(-1), null);
});

const FACTS: ChangeFacts = {
  TUNNELD_TUNNEL: 'a',
  TUNNELD_STATE: 'down',
  TUNNELD_CAUSE: 'keepalive-lost',
  TUNNELD_HINT: 'look; $(reboot)',
  TUNNELD_SINCE: '2026-01-01T00:00:00.000Z',
};

async function script(t: TestContext, text: string) {
  const path = join(await tempDir(t), 'hook');
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

const run = (command: readonly string[], signal = new AbortController().signal, clock = systemClock) =>
  runProgram(command, FACTS, { clock, signal });

test('passes arguments as they are, and a bounded environment, when it runs a program', async (t) => {
  process.env['TUNNELD_TEST_SECRET'] = 'hunter2';
  t.after(() => delete process.env['TUNNELD_TEST_SECRET']);
  const path = await script(t, 'env > "$0.env"; printf "%s|" "$@" > "$0.args"');
  assert.equal(await run([path, 'two words', '$HOME', '*']), null);
  assert.equal(readFileSync(`${path}.args`, 'utf8'), 'two words|$HOME|*|');
  const environment = readFileSync(`${path}.env`, 'utf8');
  assert.match(environment, /^TUNNELD_HINT=look; \$\(reboot\)$/m);
  assert.doesNotMatch(environment, /hunter2/);
  const names = environment
    .trim()
    .split('\n')
    .map((line) => line.split('=')[0]!);
  assert.deepEqual(
    // Of the shell, and of Node, which hands it to every child of a process whose coverage is measured.
    names.filter((name) => !['PWD', 'SHLVL', '_', 'OLDPWD', 'PATH', 'NODE_V8_COVERAGE'].includes(name)).toSorted(),
    Object.keys(FACTS).toSorted(),
  );
});

test('logs a program when it fails, is missing or prints without end, and goes on', async (t) => {
  assert.equal(await run([await script(t, 'exit 3')]), 'it ended with exit code 3');
  assert.match((await run(['/nonexistent/alarm'])) ?? '', /ENOENT/);
  // What Node.js throws instead of an event.
  assert.match((await run(['/etc/passwd/alarm'])) ?? '', /ENOTDIR/);
  assert.match((await run(['/bin/true', 'x'.repeat(200_000)])) ?? '', /E2BIG/);
  assert.equal(await run([await script(t, 'head -c 1G /dev/zero; head -c 1G /dev/zero >&2')]), null);
});

test('kills a program with its children when it hangs', async (t) => {
  const clock = fakeClock();
  const path = await script(t, 'sleep 600 & echo $! > "$0.pid"; wait');
  const ended = run([path], undefined, clock);
  await until(() => existsSync(`${path}.pid`) && readFileSync(`${path}.pid`, 'utf8').endsWith('\n'), {
    what: 'its child',
  });
  await clock.advance(30_000);
  assert.equal(await ended, 'killed, because it ran for more than 30 s');
  await until(() => !isAlive(Number(readFileSync(`${path}.pid`, 'utf8'))), { what: 'the child to be gone' });
});

test('leaves nothing behind when a program forks and ends', async (t) => {
  const path = await script(t, 'sleep 600 & echo $! > "$0.pid"');
  assert.equal(await run([path]), null);
  await until(() => !isAlive(Number(readFileSync(`${path}.pid`, 'utf8'))), { what: 'the child to be gone' });
});

/** One that has ended and is not waited for yet is gone as well. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
