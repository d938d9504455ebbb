import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { STRAY_SIGNALS } from '../../../src/lib/stray-signals.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { CLI, startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

describe("Node's debugger", { concurrency: 2 }, () => {
  test('stays closed when SIGUSR1 comes at any moment of a command', async (t) => {
    for (let afterMs = 0; afterMs < 150; afterMs += 15) {
      const said = await storm(t, ['status', '--config', '/nonexistent'], afterMs);
      assert.doesNotMatch(said, /Debugger listening/);
    }
  });

  test('stays closed when NODE_OPTIONS would open it, and no command waits for one', async (t) => {
    for (const option of ['inspect', 'inspect-brk', 'inspect-wait']) {
      const port = await freePort();
      const { said, code } = await command(t, ['--version'], { NODE_OPTIONS: `--${option}=127.0.0.1:${port}` }).ended;
      assert.equal(code, 0, said);
      assert.doesNotMatch(said, /Debugger listening/);
    }
  });

  test('is closed again when node alone was told to run a daemon and NODE_OPTIONS opened it; SIGUSR1 opens nothing', async (t) => {
    const port = await freePort();
    const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(await server(t), 'a', `1:127.0.0.1:1`)}`, {
      env: { NODE_OPTIONS: `--inspect=127.0.0.1:${port}` },
      nodeFlags: [],
    });
    daemon.signal('SIGUSR1');
    await until(() => daemon.stderr().includes('every tunnel gets a new connection'), { what: 'the signal' });
    await assert.rejects(visit(port, ''), { code: 'ECONNREFUSED' });
    assert.equal(daemon.stderr().match(/Debugger listening/g)?.length, 1, 'that of the start');
  });

  test('stays closed when node alone was told to run a command', async (t) => {
    const daemon = await startDaemonProcess(
      t,
      `tunnels:\n${tunnelYaml(await server(t), 'a', `${await freePort()}:127.0.0.1:1`)}`,
    );
    const child = spawn(process.execPath, [CLI, 'logs', '--follow', '--config', join(daemon.dir, 'config.yaml')]);
    t.after(() => child.kill('SIGKILL'));
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
    await until(() => said.includes('tunneld started'), { what: () => `the log: ${said}` });
    child.kill('SIGUSR1');
    daemon.signal('SIGALRM');
    await until(() => said.includes('SIGALRM: ignored'), { what: () => `what comes later: ${said}` });
    assert.doesNotMatch(said, /Debugger listening/);
    assert.equal(child.exitCode ?? child.signalCode, null);
  });
});

test('makes new connections when SIGUSR1 comes, and what works goes on until they do', async (t) => {
  const sshd = await server(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:${echo.port}`)}`);
  const up = ({ tunnels }: Awaited<ReturnType<typeof daemon.status>>) => tunnels[0]?.phase === 'up';
  const before = (await daemon.untilStatus(up, 'up')).tunnels[0]!;
  const [first] = sshd.sessions();
  daemon.signal('SIGUSR1');
  await daemon.untilStatus(
    ({ tunnels }) => tunnels[0]?.phase === 'up' && tunnels[0].sourcePort !== before.sourcePort,
    'a new connection',
  );
  await until(() => !sshd.sessions().includes(first!), { what: 'the end of the old one' });
  const log = sshd.log();
  const logins = [...log.matchAll(/Accepted publickey/g)].map(({ index }) => index);
  assert.equal(logins.length, 2);
  assert.ok(log.search(/Received disconnect|Connection closed by user|disconnected by user/) > logins[1]!);
  assert.equal(await visit(port, 'again'), 'again');

  // Where no new one can be had, the old one stays, with one that knocks; and is not doubled by a second signal.
  const kept = sshd.sessions();
  writeFileSync(sshd.authorizedKeysFile, '');
  daemon.signal('SIGUSR1');
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.failure?.code === 'auth-rejected', 'the refusal');
  daemon.signal('SIGUSR1');
  assert.equal(await visit(port, 'still here'), 'still here');
  assert.ok(kept.every((pid) => sshd.sessions().includes(pid)));
});

test('ends a wait when SIGHUP comes', async (t) => {
  const port = await freePort();
  const sshd = await server(t);
  const yaml = tunnelYaml(sshd, 'a', '1:127.0.0.1:1').replace(`port: ${sshd.port}`, `port: ${port}`);
  const daemon = await startDaemonProcess(t, `tunnels:\n${yaml}    reconnect: { min: 3000, max: 3600 }\n`);
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'waiting', 'the wait');
  const { attempts } = (await daemon.status()).tunnels[0]!;
  daemon.signal('SIGHUP');
  await daemon.untilStatus(({ tunnels }) => tunnels[0]!.attempts > attempts, 'another attempt');
});

test('goes on when a signal wants no end, and ends politely when SIGQUIT comes', async (t) => {
  const sshd = await server(t);
  const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${await freePort()}:127.0.0.1:1`)}`);
  const [before] = (await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up')).tunnels;
  for (const name of [...STRAY_SIGNALS, 'SIGPIPE', 'SIGXFSZ'] as const) {
    daemon.signal(name);
    // These Node.js ignores without a word.
    if (name === 'SIGPIPE' || name === 'SIGXFSZ') continue;
    await until(() => daemon.stderr().includes(`${name}: ignored`), { what: name });
  }
  const [after] = (await daemon.status()).tunnels;
  assert.deepEqual([after?.phase, after?.sourcePort], ['up', before?.sourcePort]);
  for (let time = 0; time < 300; time++) {
    daemon.signal('SIGUSR2');
    await new Promise((resolve) => setImmediate(resolve));
  }
  daemon.signal('SIGQUIT');
  assert.equal(await daemon.exited, 0);
  assert.match(daemon.stderr(), /tunneld stops/);
  assert.ok(daemon.stderr().split(': ignored').length < 40, 'a flood of them is a few lines');
});

test('is ready when a SIGHUP, SIGUSR1 or SIGUSR2 comes while the daemon starts', async (t) => {
  const dir = await tempDir(t);
  const port = await freePort();
  const file = join(dir, 'config.yaml');
  writeFileSync(
    file,
    `tunnels: { a: { host: 127.0.0.1, port: ${port}, user: x, remoteForward: '1:127.0.0.1:1' } }\nnetwork: { ping: [] }\ncontrol: { socket: ${dir}/s }\nstateDirectory: ${dir}\n`,
  );
  const { child, ended } = command(t, ['run', '--config', file]);
  // Before it runs the program, Node.js is ended by them.
  const handled = () => {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    const mask = BigInt(`0x${/^SigCgt:\s*(\w+)$/m.exec(status)?.[1] ?? '0'}`);
    // SIGHUP and SIGUSR2 are 1 and 12.
    return (mask & 1n) !== 0n && (mask & (1n << 11n)) !== 0n;
  };
  await until(handled, { what: 'the handlers of the program' });
  const isReady = () => existsSync(join(dir, 's'));
  assert.equal(isReady(), false, 'it is too late to try it');
  await until(
    () => {
      for (const name of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) child.kill(name);
      return isReady() || child.signalCode !== null;
    },
    { what: 'the daemon to be ready' },
  );
  child.kill('SIGTERM');
  const { code, said } = await ended;
  assert.equal(code, 0, said);
});

async function server(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  return sshd;
}

/** The program by its first line, as a person or systemd starts it. */
function command(t: TestContext, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const path = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
  const child = spawn(CLI, args, { env: { ...process.env, ...env, PATH: path }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (text) => (said += String(text)));
  child.stderr.on('data', (text) => (said += String(text)));
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise<{ said: string; code: number | null }>((resolve) =>
    child.once('close', (code) => resolve({ said, code })),
  );
  return { child, ended };
}

/** Sends SIGUSR1 over and over, from so many milliseconds after the start on; before Node is there, it ends the process. */
async function storm(t: TestContext, args: readonly string[], afterMs: number): Promise<string> {
  const { child, ended } = command(t, args);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  const timer = setInterval(() => child.kill('SIGUSR1'), 1);
  const { said } = await ended;
  clearInterval(timer);
  return said;
}
