import assert from 'node:assert/strict';
import { cpSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

describe('listeners of others', { concurrency: 2 }, () => {
  test('takes a listener that led to another device when a person says so, which is remembered', async (t) => {
    const sshd = await startSshd();
    t.after(() => sshd.stop());
    // It listens where the tunnel wants to.
    const other = await startSshd();
    const echo = await startEcho();
    t.after(() => echo.close());
    const forward = `${other.port}:127.0.0.1:${echo.port}`;
    const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'backup', forward)}`);
    const barred = await daemon.untilStatus(
      ({ tunnels }) => tunnels[0]?.failure?.message.includes('leads to another device') === true,
      'the finding',
    );
    assert.equal(barred.health, 'degraded');
    await other.stop();
    assert.match((await daemon.command('retry', 'backup')).stdout, /no tunnel waits/);
    assert.equal((await daemon.command('retry', '--take')).code, 2);
    const [tunnel] = (await daemon.status()).tunnels;
    assert.deepEqual(
      [tunnel?.phase, tunnel?.forwards[0]?.state, tunnel?.forwards[0]?.verified],
      ['forwarding', 'refused', 'no'],
    );
    const { code, stdout } = await daemon.command('retry', 'backup', '--take');
    assert.deepEqual([code, stdout], [0, 'backup takes its listeners as soon as the server grants them\n']);
    const { health } = await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
    assert.equal(health, 'ok');
    assert.equal(await visit(other.port, 'taken'), 'taken');
  });

  test('stays out when it is a copied card, and comes from another port than the one that it is a copy of', async (t) => {
    if (!mayBuildNetworks(t)) return;
    const sshd = await startSshd();
    t.after(() => sshd.stop());
    const echo = await startEcho();
    t.after(() => echo.close());
    const port = await freePort();
    const yaml = `tunnels:\n${tunnelYaml(sshd, 'backup', `${port}:127.0.0.1:${echo.port}`)}`;
    const card = await startDaemonProcess(t, yaml);
    const { tunnels } = await card.untilStatus((status) => status.tunnels[0]?.phase === 'up', 'up');

    const copy = await startDaemonProcess(t, yaml, { mayFail: true });
    copy.signal('SIGKILL');
    await copy.exited;
    const registers = ['listeners.json', 'source-ports.json'];
    await until(() => registers.every((name) => existsSync(join(card.dir, name))), { what: 'the registers' });
    for (const name of registers) cpSync(join(card.dir, name), join(copy.dir, name));
    const id = join(copy.dir, 'machine-id');
    writeFileSync(id, `${'c'.repeat(32)}\n`);
    const script = `mount --bind ${id} /etc/machine-id && exec "$@"`;
    const again = await startDaemonProcess(t, yaml, {
      after: copy,
      wrapper: ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'],
    });
    const status = await again.untilStatus(
      (now) => now.tunnels[0]?.failure?.message.includes('of which this one has a copy') === true,
      'the finding',
    );
    assert.notEqual(status.health, 'ok');
    assert.notEqual(status.tunnels[0]?.sourcePort, tunnels[0]?.sourcePort);
    assert.equal((await card.status()).tunnels[0]?.phase, 'up');
    card.signal('SIGTERM');
    await card.exited;
    await until(
      () =>
        visit(port, 'x').then(
          () => false,
          () => true,
        ),
      { what: 'the end of the listener' },
    );
    const [left] = (await again.status()).tunnels;
    assert.deepEqual([left?.phase, left?.forwards[0]?.state], ['forwarding', 'refused']);
  });
});
