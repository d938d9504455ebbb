import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { StatusDocument } from '../../src/status/document.ts';
import { tunnelYaml } from '../support/daemon-config.ts';
import { startEcho } from '../support/echo.ts';
import { startSshd } from '../support/sshd.ts';
import { startDaemonProcess, tunneld, type TestDaemon } from '../support/tunneld.ts';
import { freePort, tempDir, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';

test('runs the last file that worked, and says so, when it starts on a broken one', async (t) => {
  const { sshd, yaml, port } = await world(t);
  const daemon = await startDaemonProcess(t, yaml('a', port));
  const kept = join(daemon.dir, 'last-good.yaml');
  await until(() => existsSync(kept), { what: 'the configuration that worked' });
  assert.equal(statSync(kept).mode & 0o777, 0o600);
  await daemon.untilStatus(allUp, 'the tunnel');
  await untilKept(daemon);
  await end(daemon);

  const good = readFileSync(daemon.configFile, 'utf8');
  // No YAML any more, and the state directory is named behind the mistake.
  writeFileSync(daemon.configFile, good.replace('    host:', '\thost:'));
  const strict = await tunneld(['run', '--strict', '--config', daemon.configFile]);
  assert.equal(strict.code, 78);
  assert.match(strict.stderr, /config\.yaml:\d+:\d+: /);
  assert.equal((await tunneld(['check', '--config', daemon.configFile])).code, 78);

  const again = await startAgain(t, daemon);
  const status = await again.untilStatus(allUp, 'the tunnel of the last configuration');
  assert.equal(await visit(port, 'still there'), 'still there');
  await again.untilSaid(/config\.yaml:3:1: /);
  await again.untilSaid(/"level":50.*is not valid: the last configuration that worked runs instead/);
  assert.equal(status.health, 'degraded');
  assert.match(status.configProblem?.message ?? '', /config\.yaml:3:1: /);
  const text = (await again.command('status')).stdout;
  assert.match(
    text,
    /config\.yaml is not valid \(seen .* ago\); an older configuration runs: see tunneld check\n  .*config\.yaml:3:1: /,
  );

  writeFileSync(again.configFile, good);
  assert.equal((await again.command('reload')).stdout, 'reloaded; unchanged: a\n');
  const mended = await again.status();
  assert.deepEqual([mended.health, mended.configProblem], ['ok', undefined]);
  assert.equal(sshd.sessions().length, 1);
});

test('reports in status when a reload failed, and starts when the file has vanished', async (t) => {
  const { yaml, port } = await world(t);
  const daemon = await startDaemonProcess(t, yaml('a', port));
  await untilKept(daemon);
  const good = readFileSync(daemon.configFile, 'utf8');
  writeFileSync(daemon.configFile, good.replace('remoteForward', 'remoteForwards'));
  assert.equal((await daemon.command('reload')).code, 78);
  const { health, configProblem, tunnels } = await daemon.status();
  assert.deepEqual([health, tunnels[0]?.phase], ['degraded', 'up']);
  assert.match(configProblem?.message ?? '', /remoteForwards/);
  rmSync(daemon.configFile);
  await end(daemon);
  const again = await startAgain(t, daemon, { STATE_DIRECTORY: daemon.dir });
  await until(() => visit(port, 'here').catch(() => ''), { what: 'a visitor to be served' });
  await again.untilSaid(/no such file/);
});

test('keeps nothing when it never worked, or worked for another file', async (t) => {
  const { yaml, port } = await world(t);
  const dead = await freePort();
  const mixed = `${yaml('a', port)}${yaml('b', await freePort())
    .replace('tunnels:\n', '')
    .replace(/port: \d+/, `port: ${dead}`)}`;
  const daemon = await startDaemonProcess(t, mixed);
  await daemon.untilStatus(({ tunnels }) => tunnels.some(({ phase }) => phase === 'up'), 'one of two tunnels');
  const kept = join(daemon.dir, 'last-good.yaml');
  assert.equal(existsSync(kept), false);

  daemon.writeConfig(yaml('a', port));
  await daemon.command('reload');
  await until(() => existsSync(kept), { what: 'the configuration without the dead one' });
  const { mtimeMs } = statSync(kept);
  daemon.writeConfig(`# a remark\n${yaml('a', port)}`);
  await daemon.command('reload');
  await daemon.untilStatus(allUp, 'the tunnel');
  assert.equal(statSync(kept).mtimeMs, mtimeMs, 'nothing is written where nothing is new');
  await end(daemon);

  const other = join(daemon.dir, 'other.yaml');
  writeFileSync(other, 'nonsense: true\n');
  const run = await tunneld(['run', '--config', other], { env: { STATE_DIRECTORY: daemon.dir } });
  assert.equal(run.code, 78);
});

test('does not wait when a file never ends or is a pipe', async (t) => {
  const pipe = join(await tempDir(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const file of ['/dev/zero', pipe]) {
    const { code, stderr } = await tunneld(['run', '--config', file]);
    assert.equal(code, 78, `${file}: ${stderr}`);
  }
});

function allUp({ tunnels }: StatusDocument): boolean {
  return tunnels.length > 0 && tunnels.every(({ phase }) => phase === 'up');
}

function startAgain(t: TestContext, after: TestDaemon, env: NodeJS.ProcessEnv = {}): Promise<TestDaemon> {
  rmSync(after.socket, { force: true });
  return startDaemonProcess(t, '', { after, env });
}

/** It is written some time after the tunnels are up. */
async function untilKept(daemon: TestDaemon): Promise<void> {
  await until(() => existsSync(join(daemon.dir, 'last-good.yaml')), { what: 'the configuration that worked' });
}

async function end(daemon: TestDaemon): Promise<void> {
  daemon.signal('SIGKILL');
  await daemon.exited;
}

async function world(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  return {
    sshd,
    port: await freePort(),
    yaml: (name: string, port: number) => `tunnels:\n${tunnelYaml(sshd, name, `${port}:127.0.0.1:${echo.port}`)}`,
  };
}
