import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { PROGRAM, startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

/** A daemon whose tunnel has nowhere to go, with its standard error where the test wants it. */
async function start(t: TestContext, stderr: 'pipe' | number) {
  const dir = await tempDir(t);
  const configFile = join(dir, 'config.yaml');
  writeFileSync(
    configFile,
    `tunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }
network: { ping: [] }\nlog: { level: trace }\ncontrol: { socket: ${dir}/control.sock }\nstateDirectory: ${dir}\n`,
  );
  const child = spawn(process.execPath, [...PROGRAM, 'run', '--config', configFile], {
    stdio: ['ignore', 'ignore', stderr],
  });
  t.after(() => child.kill('SIGKILL'));
  const answers = async () => (await tunneld(['status', '--json', '--config', configFile])).stdout.includes('"pid"');
  return { child, dir, configFile, answers };
}

test('goes on when the reader of its log goes away', async (t) => {
  const { child, answers, configFile } = await start(t, 'pipe');
  await until(answers, { what: 'an answer' });
  child.stderr?.destroy();
  for (let reload = 0; reload < 5; reload++) {
    assert.equal((await tunneld(['reload', '--config', configFile])).code, 0);
  }
  assert.ok(await answers());
});

test('goes on when the disk is full', async (t) => {
  const { answers, configFile } = await start(t, openSync('/dev/full', 'w'));
  await until(answers, { what: 'an answer' });
  assert.equal((await tunneld(['reload', '--config', configFile])).code, 0);
  assert.ok(await answers());
});

test('writes into log.file, for its owner alone, and nothing to standard error, when that is set', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'logs', 'tunneld.log');
  const daemon = await startDaemonProcess(
    t,
    `log: { level: debug, file: ${file} }\ntunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }`,
  );
  await until(() => existsSync(file) && readFileSync(file, 'utf8').includes('ECONNREFUSED'), { what: 'the failure' });
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  for (const line of lines) assert.equal(typeof (JSON.parse(line) as { msg: unknown }).msg, 'string');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(daemon.stderr(), '');
});

test('writes into TUNNELD_LOG_FILE when there is no log.file, and leaves a file at a reload that newsyslog renamed', async (t) => {
  const file = join(await tempDir(t), 'by variable.log');
  const daemon = await startDaemonProcess(
    t,
    `tunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }`,
    { env: { TUNNELD_LOG_FILE: file } },
  );
  await until(() => readFileSync(file, 'utf8').includes('tunneld started'), { what: 'the first line' });
  renameSync(file, `${file}.0`);
  assert.equal((await daemon.command('reload')).code, 0);
  await until(() => readFileSync(file, 'utf8').includes('configuration reloaded'), { what: 'the line of the reload' });
  renameSync(file, `${file}.1`);
  daemon.signal('SIGHUP');
  await until(() => existsSync(file) && readFileSync(file, 'utf8').includes('reloaded'), { what: 'the file anew' });
  assert.equal(daemon.stderr(), '');
});

test('reports a problem of the configuration when the path of a control socket is too long for the system', async (t) => {
  const dir = await tempDir(t);
  const configFile = join(dir, 'config.yaml');
  writeFileSync(
    configFile,
    `tunnels:\n  a: { host: h, remoteForward: "8080:localhost:22" }\ncontrol: { socket: /tmp/${'x'.repeat(110)} }\n`,
  );
  const { code, stderr } = await tunneld(['run', '--config', configFile]);
  assert.equal(code, 78);
  assert.match(stderr, /config\.yaml:3:20: control\.socket/);
});
