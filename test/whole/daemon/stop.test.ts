import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort } from '../../support/until.ts';

/** The daemon's own limit is 2 s; the rest is for a machine that is busy with other tests. */
const STOP_LIMIT_MS = 10_000;

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`gives the listeners back and ends with 0 when ${signal} comes`, async (t) => {
    const sshd = await startSshd();
    t.after(() => sshd.stop());
    const echo = await startEcho();
    t.after(() => echo.close());
    const port = await freePort();
    const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:${echo.port}`)}`);
    await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
    const visitor = connect(port, '127.0.0.1');
    visitor.on('error', () => {});
    visitor.write('hello');
    await new Promise((resolve) => visitor.once('data', resolve));
    const closed = new Promise((resolve) => visitor.once('close', resolve));
    visitor.resume();

    const asked = performance.now();
    daemon.signal(signal);
    assert.equal(await daemon.exited, 0);
    assert.ok(performance.now() - asked < STOP_LIMIT_MS);
    await closed;
    assert.equal(existsSync(daemon.socket), false, 'the control socket is removed');
    await sshd.waitForLog(/Received disconnect|Disconnected from user/);
    assert.equal(await accepts(port), false, 'nothing listens any more');
  });
}

test('stops in time when the server is frozen', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${await freePort()}:127.0.0.1:1`)}`);
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
  sshd.freeze();
  t.after(() => sshd.thaw());
  const asked = performance.now();
  daemon.signal('SIGTERM');
  assert.equal(await daemon.exited, 0);
  assert.ok(performance.now() - asked < STOP_LIMIT_MS);
});

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
