import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { StatusDocument } from '../../../src/status/document.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { PROGRAM, startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

test('takes the place of the file when the tunnels of a configuration come up', async (t) => {
  const { daemon, ports, other, lay, leftOver } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const { mode } = statSync(daemon.configFile);
  const next = lay(other(ports[1]));
  const { code, stdout, stderr } = await daemon.command('apply', next);
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, /^on trial; changed: a\n/);
  assert.match(stdout, /^confirmed: \S+config\.yaml is the new configuration/m);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), readFileSync(next, 'utf8'));
  assert.equal(statSync(daemon.configFile).mode, mode);
  assert.equal(readFileSync(`${daemon.configFile}.previous`, 'utf8'), before);
  assert.deepEqual(leftOver(), []);
  assert.equal(await visit(ports[1], 'moved'), 'moved');
  assert.equal((await daemon.status()).trial, undefined);
});

test('keeps a configuration on --confirm only when it is confirmed', async (t) => {
  const { daemon, ports, other, lay, leftOver } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const next = lay(other(ports[1]));
  const applied = await daemon.command('apply', '--confirm', '1h', next);
  assert.equal(applied.code, 0);
  assert.match(applied.stdout, /all tunnels are up; run `tunneld confirm`, or the trial ends in/);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before, 'the next start would be on what worked');
  assert.equal(await visit(ports[1], 'on trial'), 'on trial');
  const { trial } = await daemon.status();
  assert.deepEqual(trial?.waitingFor, []);
  assert.match((await daemon.command('status')).stdout, /on trial and ends in (1h|59m).*: tunneld confirm keeps it/);
  assert.equal(readFileSync(join(daemon.dir, 'last-good.yaml'), 'utf8').includes(String(ports[1])), false);

  assert.equal((await daemon.command('confirm')).code, 0);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), readFileSync(next, 'utf8'));
  await until(() => readFileSync(join(daemon.dir, 'last-good.yaml'), 'utf8').includes(String(ports[1])), {
    what: 'the new one to be kept',
  });
  const twice = await daemon.command('confirm');
  assert.deepEqual([twice.code, twice.stderr], [1, 'tunneld: no configuration is on trial\n']);
  assert.deepEqual(leftOver(), []);
});

test('goes back when it is not confirmed, when the caller is gone, and when there is a reload', async (t) => {
  const { daemon, ports, other, lay } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const next = lay(other(ports[1]));
  // As short as this machine allows: the tunnel has to be up by then.
  let seconds = 1;
  do seconds *= 2;
  while ((await daemon.command('apply', '--confirm', `${seconds}`, next)).code !== 0 && seconds < 60);
  await until(() => visit(ports[0], 'back').catch(() => ''), { what: 'the old listener' });
  await daemon.untilStatus(({ trial, tunnels }) => trial === undefined && tunnels[0]?.phase === 'up', 'the old tunnel');
  await daemon.untilSaid(/was not confirmed in time/);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before);

  assert.equal((await daemon.command('apply', '--confirm', '1h', next)).code, 0);
  assert.equal((await daemon.command('reload')).stdout, 'reloaded; changed: a\n');
  assert.equal((await daemon.status()).trial, undefined);
  await until(() => visit(ports[0], 'back again').catch(() => ''), { what: 'the old listener' });
});

test('goes back at once, and says why, when a tunnel is blocked', async (t) => {
  const { daemon, ports, other, lay, leftOver } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const next = lay(other(ports[1]).replace(/identityFile: .*/, `identityFile: ${join(daemon.dir, 'nosuch.key')}`));
  // The whole time of the trial is longer than the command may take here.
  const { code, stdout, stderr } = await daemon.command('apply', '--confirm', '1h', next);
  assert.equal(code, 1, stderr);
  assert.match(stdout, /waiting for a: blocked: key-unreadable: .*nosuch\.key does not exist/);
  assert.match(stderr, /a is blocked \(the reason is printed above\): what ran before runs again/);
  await daemon.untilStatus(({ trial, tunnels }) => trial === undefined && tunnels[0]?.phase === 'up', 'the old tunnel');
  assert.equal(await visit(ports[0], 'as before'), 'as before');
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before);
  assert.deepEqual(leftOver(), []);
});

test('never takes the old tunnel away when the new one does not come up', async (t) => {
  const { daemon, ports, other, lay, leftOver } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const dead = lay(other(ports[1]).replace(/ {4}port: \d+/, `    port: ${await freePort()}`));
  const long = daemon.command('apply', '--confirm', '1h', dead);
  await daemon.untilStatus(({ trial }) => trial !== undefined, 'the trial');
  assert.equal(await visit(ports[0], 'still'), 'still');
  const early = await daemon.command('confirm');
  assert.equal(early.code, 1);
  assert.match(early.stderr, /not every tunnel is up: a/);
  assert.equal((await daemon.command('reload')).code, 0);
  await long;

  const { code, stdout, stderr } = await daemon.command('apply', '--confirm', '12s', dead);
  assert.equal(code, 1);
  assert.match(stdout, /waiting for a: \S+: connect-refused/);
  assert.match(stderr, /what ran before runs again/);
  assert.equal(await visit(ports[0], 'still'), 'still');
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before);
  assert.deepEqual(leftOver(), []);
});

test('finishes what a caller began when he comes through the tunnel that changes and is cut off', async (t) => {
  const { daemon, ports, other, lay } = await start(t);
  const next = lay(other(ports[1]));
  const child = spawn(process.execPath, [...PROGRAM, 'apply', next, '--config', daemon.configFile], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  child.stdout.once('data', () => {
    child.stdout.destroy();
    child.kill('SIGHUP');
  });
  assert.equal(await ended, 0);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), readFileSync(next, 'utf8'));
});

test('changes nothing when it cannot be applied', async (t) => {
  const { daemon, ports, other, lay, leftOver } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const bad = await daemon.command('apply', lay(other(ports[1]).replace('remoteForward', 'remoteForwards')));
  assert.equal(bad.code, 78);
  assert.match(bad.stderr, /next\.yaml:\d+:\d+: .*remoteForwards/);
  assert.equal((await daemon.command('apply', join(daemon.dir, 'nosuch.yaml'))).code, 78);
  const good = lay(other(ports[1]));
  for (const time of ['0', '5x', '2d', '']) {
    const wrong = await daemon.command('apply', good, '--confirm', time);
    assert.equal(wrong.code, 2, time);
    assert.match(wrong.stderr, /--confirm: it must be a time from 1s to 24h/);
  }
  symlinkSync(daemon.configFile, join(daemon.dir, 'same.yaml'));
  const same = await daemon.command('apply', join(daemon.dir, 'same.yaml'));
  assert.equal(same.code, 1);
  assert.match(same.stderr, /apply a copy/);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before);
  assert.deepEqual(leftOver(), []);
  daemon.signal('SIGTERM');
  await daemon.exited;
  assert.equal((await daemon.command('apply', good)).code, 3);
  assert.equal((await daemon.command('confirm')).code, 3);
});

async function start(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const ports = [await freePort(), await freePort()] as const;
  const other = (port: number) => `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:${echo.port}`)}`;
  const daemon = await startDaemonProcess(t, other(ports[0]));
  const isUp = ({ tunnels }: StatusDocument) => tunnels[0]?.phase === 'up';
  await daemon.untilStatus(isUp, 'the tunnel');
  // It is written some time after the tunnel is up.
  await until(() => existsSync(join(daemon.dir, 'last-good.yaml')), { what: 'the configuration that worked' });
  const rest = readFileSync(daemon.configFile, 'utf8').slice(other(ports[0]).length);
  return {
    daemon,
    ports,
    other,
    /** Writes another configuration, with the same socket and state directory. */
    lay: (yaml: string) => {
      const file = join(daemon.dir, 'next.yaml');
      writeFileSync(file, `${yaml}${rest}`);
      return file;
    },
    leftOver: () => readdirSync(daemon.dir).filter((name) => name.endsWith('.candidate')),
  };
}
