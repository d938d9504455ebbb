import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createNotifier } from '../../src/host/sd-notify.ts';
import { startDatagramReceiver, withInheritedSocket, type DatagramReceiver } from '../support/datagrams.ts';
import { separately } from '../support/separately.ts';
import { tempDir, until } from '../support/until.ts';

const run = promisify(execFile);
const notify = separately('src/host/sd-notify.ts');

async function receiver(t: TestContext): Promise<DatagramReceiver> {
  const opened = await startDatagramReceiver(join(await tempDir(t), 'notify'));
  t.after(() => opened.close());
  return opened;
}

function notifierFor(env: NodeJS.ProcessEnv) {
  const problems: string[] = [];
  const notifier = createNotifier(env, { pid: process.pid, onProblem: (message) => problems.push(message) });
  return { notifier, problems };
}

test('sends everything in order when it goes through systemd-notify', async (t) => {
  const manager = await receiver(t);
  const { notifier, problems } = notifierFor({ PATH: process.env['PATH'], NOTIFY_SOCKET: manager.path });
  const before = process.hrtime.bigint() / 1000n;
  notifier.ready();
  notifier.status('1 of 2 tunnels up');
  notifier.status('1 of 2 tunnels up');
  notifier.watchdog();
  notifier.reloading();
  notifier.ready();
  const [ready, status, watchdog, reloading, again] = await manager.waitFor(5);
  assert.deepEqual([ready, status, watchdog, again], ['READY=1', 'STATUS=1 of 2 tunnels up', 'WATCHDOG=1', 'READY=1']);
  const time = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading ?? '')?.[1];
  assert.ok(time !== undefined && BigInt(time) >= before && BigInt(time) <= process.hrtime.bigint() / 1000n);
  assert.deepEqual(problems, []);
});

test('sends STOPPING at once when something waits that no longer matters', async (t) => {
  const manager = await receiver(t);
  const { notifier } = notifierFor({ PATH: process.env['PATH'], NOTIFY_SOCKET: manager.path });
  for (let count = 0; count < 20; count++) notifier.watchdog();
  notifier.stopping();
  await until(() => manager.messages().includes('STOPPING=1'), { what: 'STOPPING=1' });
  assert.ok(manager.messages().length <= 2, manager.messages().join(' '));
});

test('sends without a program when it inherits a descriptor, and hides that from children', async (t) => {
  const manager = await receiver(t);
  const program = `
    import { execFileSync } from 'node:child_process';
    import { createNotifier } from ${JSON.stringify(notify.url)};
    process.env.PATH = '/nowhere'; // no systemd-notify: what arrives came through the descriptor
    const problems = [];
    const notifier = createNotifier(process.env, { pid: process.pid, onProblem: (message) => problems.push(message) });
    notifier.ready();
    notifier.status('first\\nREADY=0\\u202e');
    notifier.status('x'.repeat(500));
    const child = execFileSync('/bin/sh', ['-c', '/usr/bin/env; if (: >&3) 2>/dev/null; then echo OPEN3; fi'], { encoding: 'utf8' });
    console.log(JSON.stringify({ problems, watchdogMs: notifier.watchdogMs, child }));
  `;
  const node = [...notify.node, '--input-type=module', '-e', program];
  const env = { ...process.env, NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '60000000' };
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const { stdout } = await run('perl', withInheritedSocket(manager.path, node), { env, cwd });
  assert.deepEqual(await manager.waitFor(3), [
    'READY=1',
    'STATUS=first\\x0aREADY=0\\u202e',
    `STATUS=${'x'.repeat(199)}…`,
  ]);
  const answer: unknown = JSON.parse(stdout);
  assert.ok(typeof answer === 'object' && answer !== null && 'child' in answer);
  const { child, ...rest } = answer;
  assert.deepEqual(rest, { problems: [], watchdogMs: 60_000 });
  assert.match(String(child), /^PWD=/m);
  assert.doesNotMatch(String(child), /NOTIFY_SOCKET|LISTEN_|WATCHDOG_|OPEN3/);
});

test('leaves a descriptor alone when it was meant for another process', async (t) => {
  const manager = await receiver(t);
  const others = { LISTEN_PID: String(process.pid + 1), LISTEN_FDS: '1', LISTEN_FDNAMES: 'notify' };
  const { notifier } = notifierFor({ PATH: process.env['PATH'], NOTIFY_SOCKET: manager.path, ...others });
  notifier.ready();
  assert.deepEqual(await manager.waitFor(1), ['READY=1']);
});

test('uses systemd-notify when a descriptor does not work', async (t) => {
  const manager = await receiver(t);
  const names = ['a', ...Array.from({ length: 5000 }, () => 'b'), 'notify']; // a descriptor that is surely not open
  const fds = { LISTEN_PID: String(process.pid), LISTEN_FDS: String(names.length), LISTEN_FDNAMES: names.join(':') };
  const { notifier, problems } = notifierFor({ PATH: process.env['PATH'], NOTIFY_SOCKET: manager.path, ...fds });
  notifier.ready();
  assert.deepEqual(await manager.waitFor(1), ['READY=1']);
  assert.deepEqual(problems, []);
});

test('goes on when it fails, and says so once', async (t) => {
  const dir = await tempDir(t);
  const missing = notifierFor({ PATH: dir, NOTIFY_SOCKET: join(dir, 'none') });
  missing.notifier.ready();
  missing.notifier.watchdog();
  await until(() => missing.problems.length > 0, { what: 'the missing program' });

  writeFileSync(join(dir, 'systemd-notify'), `#!/bin/sh\necho "$@" >>${dir}/calls\nexit 1\n`);
  chmodSync(join(dir, 'systemd-notify'), 0o755);
  const failing = notifierFor({ PATH: dir, NOTIFY_SOCKET: join(dir, 'none') });
  failing.notifier.ready();
  failing.notifier.watchdog();
  await until(() => failing.problems.length > 0, { what: 'the failing program' });
  assert.match(missing.problems.join('|'), /^systemd could not be notified .*ENOENT[^|]*$/);
  assert.match(failing.problems.join('|'), /^systemd could not be notified .*ended with 1[^|]*$/);
});

test('does nothing when there is no service manager', () => {
  const env = { PATH: '/nowhere', HOME: '/root' };
  const { notifier, problems } = notifierFor(env);
  notifier.ready();
  notifier.status('up');
  assert.equal(notifier.watchdogMs, null);
  assert.deepEqual(problems, []);
  assert.deepEqual(env, { PATH: '/nowhere', HOME: '/root' });
});

test('serves the watchdog only when it is meant for this process', () => {
  const cases: readonly [NodeJS.ProcessEnv, number | null][] = [
    [{ WATCHDOG_USEC: '30000000' }, 30_000],
    [{ WATCHDOG_USEC: '1500', WATCHDOG_PID: String(process.pid) }, 1.5],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }, null],
    [{ WATCHDOG_USEC: '0' }, null],
    [{ WATCHDOG_USEC: 'soon' }, null],
  ];
  for (const [env, expected] of cases) {
    assert.equal(notifierFor(env).notifier.watchdogMs, expected);
    assert.deepEqual(env, {});
  }
});
