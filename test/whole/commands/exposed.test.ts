import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditDocument } from '../../../src/audit/document.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort } from '../../support/until.ts';

test('is named by status, doctor and audit when GatewayPorts yes opens a listener of localhost to all', async (t) => {
  const sshd = await startSshd({ config: ['GatewayPorts yes'] });
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const yaml = `tunnels:\n${tunnelYaml(sshd, 'relay', `${port}:localhost:${echo.port}`)}`;
  const daemon = await startDaemonProcess(t, yaml);
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.forwards[0]?.exposed === true, 'the tunnel');
  const words = /the server listens on all its addresses, though loopback was requested \(GatewayPorts yes there\)/;
  assert.match((await daemon.command('status')).stdout, words);
  assert.match((await daemon.command('doctor')).stdout, words);
  await daemon.untilSaid(words);
  const { tunnels } = JSON.parse((await daemon.command('audit', '--yes', '--json')).stdout) as AuditDocument;
  const finding = tunnels[0]?.findings.find(({ hole }) => hole === 'listen-public');
  assert.deepEqual([finding?.verdict, finding?.closedBy.sshdConfig], ['open', ['GatewayPorts no']]);
});
