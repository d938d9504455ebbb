import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import { startDaemonProcess, type TestDaemon, PROGRAM } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';

/** Two tunnels that have nowhere to go, and say so. */
async function startTalking(t: TestContext): Promise<TestDaemon> {
  const tunnel = async (name: string) =>
    `  ${name}: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }\n`;
  const daemon = await startDaemonProcess(t, `tunnels:\n${await tunnel('one')}${await tunnel('two')}`);
  await daemon.untilStatus(({ tunnels }) => tunnels.every(({ phase }) => phase === 'waiting'), 'both tunnels to wait');
  return daemon;
}

/** `tunneld logs ARGS` as long as it runs. */
function follow(t: TestContext, daemon: TestDaemon, ...args: string[]) {
  const child = spawn(process.execPath, [...PROGRAM, 'logs', ...args, '--config', daemon.configFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<number | string | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  t.after(() => child.kill('SIGKILL'));
  return { ended, stdout: () => stdout, stderr: () => stderr, kill: (signal: NodeJS.Signals) => child.kill(signal) };
}

test('shows the recent lines in order, of one tunnel and as many as wanted when asked to', async (t) => {
  const daemon = await startTalking(t);
  const all = await daemon.command('logs');
  assert.equal(all.code, 0);
  assert.match(all.stdout, /tunneld started[\s\S]*ECONNREFUSED/);
  const one = await daemon.command('logs', 'one');
  assert.match(one.stdout, /one.*ECONNREFUSED/);
  assert.doesNotMatch(one.stdout, /two|tunneld started/);
  const last = await daemon.command('logs', '-n', '1');
  assert.equal(last.stdout.trim().split('\n').length, 1);
  const unknown = await daemon.command('logs', 'three');
  assert.deepEqual([unknown.code, unknown.stdout], [4, '']);
  assert.match(unknown.stderr, /no tunnel "three"; there are: one, two/);
});

test('follows the log on -f, also that of a daemon that is started in its place, each line once', async (t) => {
  const daemon = await startTalking(t);
  const follower = follow(t, daemon, '-f');
  await until(() => follower.stdout().includes('tunneld started'), { what: 'what was' });
  daemon.signal('SIGHUP');
  await until(() => follower.stdout().includes('configuration reloaded'), { what: 'what comes' });
  daemon.signal('SIGTERM');
  await daemon.exited;
  await until(() => follower.stderr().includes('waiting for it to run again'), { what: 'the word' });
  await until(() => follower.stdout().includes('tunneld stops'), { what: follower.stdout });
  const next = await startDaemonProcess(t, '', { after: daemon });
  await until(() => follower.stdout().includes(`tunneld started version=`) && count(follower.stdout()) === 2, {
    what: () => `the lines of the new daemon: ${follower.stdout()}`,
  });
  const again = `the daemon runs again: process ${next.pid}\n`;
  await until(() => follower.stderr().includes(again), { what: follower.stderr });
  next.signal('SIGHUP');
  await until(() => follower.stdout().split('configuration reloaded').length === 3, { what: 'what comes' });
  assert.equal(count(follower.stdout()), 2);
});

function count(text: string): number {
  return text.split('tunneld started').length - 1;
}

test('ends -f when Ctrl-C is pressed, and the daemon does not notice', async (t) => {
  const daemon = await startTalking(t);
  const follower = follow(t, daemon, '-f');
  await until(() => follower.stdout().includes('tunneld started'), { what: 'what was' });
  follower.kill('SIGINT');
  assert.equal(await follower.ended, 'SIGINT');
  assert.equal((await daemon.status()).pid, daemon.pid);
});
