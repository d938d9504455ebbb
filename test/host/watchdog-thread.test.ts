import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createNotifier } from '../../src/host/sd-notify.ts';
import { withWatchdogThread } from '../../src/host/watchdog-thread.ts';
import { PROGRAM } from '../support/tunneld.ts';
import { connects, freePort, tempDir, until } from '../support/until.ts';

const SECONDS = 2;

/** Loaded before the program: SIGUSR2 blocks the main loop for as many milliseconds as BLOCK_MS says. */
const HOOK = `
if (require('node:worker_threads').isMainThread) process.on('SIGUSR2', () => {
  const ms = Number(process.env.BLOCK_MS);
  if (process.env.BLOCK_BUSY) for (const end = Date.now() + ms; Date.now() < end; );
  else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  require('node:fs').writeSync(2, 'unblocked\\n');
});
`;

/** A daemon whose tunnel is down: nothing listens where it wants to go. */
async function start(t: TestContext, env: NodeJS.ProcessEnv, stderrTo: 'file' | 'pipe' = 'file') {
  const dir = await tempDir(t);
  const configFile = join(dir, 'config.yaml');
  const socket = join(dir, 'control.sock');
  const hook = join(dir, 'hook.cjs');
  const errors = join(dir, 'stderr');
  writeFileSync(hook, HOOK);
  writeFileSync(
    configFile,
    `tunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }
network: { ping: [] }\nlog: { file: ${dir}/log }\ncontrol: { socket: ${socket} }\nstateDirectory: ${dir}\n`,
  );
  const fd = openSync(errors, 'a');
  const child = spawn(process.execPath, ['-r', hook, ...PROGRAM, 'run', '--config', configFile], {
    stdio: ['ignore', 'ignore', stderrTo === 'file' ? fd : 'pipe'],
    env: { ...process.env, TUNNELD_WATCHDOG: String(SECONDS), ...env },
  });
  closeSync(fd);
  let heard = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (heard += text));
  const ended = new Promise<string | number | null>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code)),
  );
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await until(() => connects(socket), { what: () => `the start; stderr: ${readFileSync(errors, 'utf8')}${heard}` });
  return {
    child,
    ended,
    lives: () => child.exitCode === null && child.signalCode === null,
    stderr: () => (stderrTo === 'file' ? readFileSync(errors, 'utf8') : heard),
  };
}

describe('the watchdog of our own', { concurrency: true }, () => {
  for (const stderrTo of ['file', 'pipe'] as const) {
    test(`ends a main loop when it hangs, and says so to a ${stderrTo}`, async (t) => {
      const daemon = await start(t, { BLOCK_MS: '60000' }, stderrTo);
      const asked = performance.now();
      daemon.child.kill('SIGUSR2');
      assert.equal(await daemon.ended, 'SIGABRT');
      const seconds = (performance.now() - asked) / 1000;
      assert.ok(seconds > SECONDS / 2 - 0.5 && seconds < 30, `after ${seconds} s`);
      await until(() => daemon.stderr() !== '', { what: 'the last words' });
      const [line = '', rest] = daemon.stderr().split('\n');
      assert.deepEqual([(JSON.parse(line) as { level: number }).level, rest], [60, '']);
      assert.match(line, /no sign of life for 2 seconds/);
    });
  }

  test('ends a main loop when it is in an endless calculation, too', async (t) => {
    const daemon = await start(t, { BLOCK_MS: '60000', BLOCK_BUSY: '1' });
    daemon.child.kill('SIGUSR2');
    assert.equal(await daemon.ended, 'SIGABRT');
  });

  test('does not end one when it is busy for a while, or when its tunnel is down', async (t) => {
    const daemon = await start(t, { BLOCK_MS: String(SECONDS * 400), BLOCK_BUSY: '1' });
    for (let times = 1; times <= 4; times++) {
      daemon.child.kill('SIGUSR2');
      await until(() => daemon.stderr().split('unblocked').length > times, { what: 'the end of the calculation' });
      await wait(100);
    }
    await wait(SECONDS * 1500);
    assert.ok(daemon.lives());
    daemon.child.kill('SIGTERM');
    assert.equal(await daemon.ended, 0);
  });

  test('does not end a process when it wakes up from a sleep, however long it was', async (t) => {
    const daemon = await start(t, {});
    daemon.child.kill('SIGSTOP');
    await wait(SECONDS * 1500);
    daemon.child.kill('SIGCONT');
    await wait(SECONDS * 1500);
    assert.ok(daemon.lives());
    assert.equal(daemon.stderr(), '');
  });

  test('does not watch a program when tunneld starts it', () => {
    const env = { TUNNELD_WATCHDOG: '60', PATH: '/bin' };
    withWatchdogThread(createNotifier({}, { pid: 1, onProblem: assert.fail }), env, assert.fail);
    assert.deepEqual(env, { PATH: '/bin' });
  });

  test('leaves the watching to systemd when that does it, and says when a time is none', async (t) => {
    const log = ({ child }: { child: { spawnargs: string[] } }) =>
      readFileSync(join(child.spawnargs.at(-1)!, '..', 'log'), 'utf8');
    const threads = ({ child }: { child: { pid?: number | undefined } }) =>
      Number(/^Threads:\s*(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]);
    const watched = await start(t, {});
    const bySystemd = await start(t, { WATCHDOG_USEC: '60000000' });
    assert.equal(threads(watched) - threads(bySystemd), 1);
    const wrong = await start(t, { TUNNELD_WATCHDOG: 'soon' });
    assert.equal(threads(wrong), threads(bySystemd));
    await until(() => log(wrong).includes('TUNNELD_WATCHDOG must be from 1 to 3600 seconds'), {
      what: 'the complaint',
    });
  });
});
