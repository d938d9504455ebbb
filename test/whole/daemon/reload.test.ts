import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';

test('touches what changed and nothing else when it reloads, and changes nothing when a file is bad', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const ports = [await freePort(), await freePort(), await freePort(), await freePort()] as const;
  const forward = (index: 0 | 1 | 2 | 3) => `${ports[index]}:127.0.0.1:${echo.port}`;
  const daemon = await startDaemonProcess(
    t,
    `tunnels:\n${tunnelYaml(sshd, 'stays', forward(0))}${tunnelYaml(sshd, 'changes', forward(1))}${tunnelYaml(sshd, 'goes', forward(2))}`,
  );
  const allUp = (count: number) =>
    daemon.untilStatus(
      ({ tunnels }) => tunnels.length === count && tunnels.every(({ phase }) => phase === 'up'),
      `${count} tunnels up`,
    );
  const first = await allUp(3);
  const sourcePort = (status: typeof first, name: string) =>
    status.tunnels.find((tunnel) => tunnel.name === name)?.sourcePort;
  const before = sourcePort(first, 'stays');
  assert.ok(before);

  daemon.writeConfig(
    `tunnels:\n${tunnelYaml(sshd, 'stays', forward(0))}${tunnelYaml(sshd, 'changes', forward(3))}${tunnelYaml(sshd, 'comes', forward(2))}`,
  );
  const reloaded = await daemon.command('reload');
  assert.equal(reloaded.stderr, '');
  assert.equal(reloaded.code, 0);
  assert.equal(reloaded.stdout, 'reloaded; added: comes; changed: changes; removed: goes; unchanged: stays\n');
  const second = await allUp(3);
  assert.equal(sourcePort(second, 'stays'), before, 'the unchanged tunnel keeps its connection');

  const good = readFileSync(daemon.configFile, 'utf8');
  writeFileSync(daemon.configFile, good.replace('remoteForward', 'remoteForwards'));
  const bad = await daemon.command('reload');
  assert.equal(bad.code, 78);
  assert.match(bad.stderr, /config\.yaml:\d+:\d+: .*remoteForward/);
  rmSync(daemon.configFile);
  daemon.signal('SIGHUP');
  await until(() => daemon.stderr().match(/not reloaded/g)?.length === 2, { what: 'the report of the vanished file' });
  writeFileSync(daemon.configFile, good);
  const third = await daemon.status();
  assert.deepEqual(
    third.tunnels.map(({ name, phase, sourcePort: port }) => [name, phase, port]),
    second.tunnels.map(({ name, phase, sourcePort: port }) => [name, phase, port]),
  );
});
