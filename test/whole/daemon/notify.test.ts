import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startDatagramReceiver } from '../../support/datagrams.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

test('tells systemd all it needs, and feeds its watchdog while there is a mere outage', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const receiver = await startDatagramReceiver(join(await tempDir(t), 'notify'));
  t.after(() => receiver.close());
  const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${await freePort()}:localhost:22`)}`, {
    env: { NOTIFY_SOCKET: receiver.path, WATCHDOG_USEC: '1000000' },
  });
  const heard = (text: string) => receiver.messages().filter((message) => message.includes(text)).length;
  await until(() => heard('READY=1') === 1, { what: 'READY' });
  await until(() => heard('STATUS=1 of 1 tunnel up') > 0, { what: 'STATUS' });

  await sshd.kill();
  await until(() => heard('STATUS=0 of 1 tunnel up; a: connect-refused') > 0, {
    what: () => `the status of the outage: ${receiver.messages().join(' | ')}`,
  });
  const before = heard('WATCHDOG=1');
  await until(() => heard('WATCHDOG=1') >= before + 3, { what: 'the watchdog fed during the outage' });

  daemon.signal('SIGHUP');
  await until(() => heard('RELOADING=1') === 1 && heard('READY=1') === 2, { what: 'RELOADING and READY again' });
  assert.match(receiver.messages().find((message) => message.includes('RELOADING')) ?? '', /MONOTONIC_USEC=\d+/);
  daemon.signal('SIGTERM');
  assert.equal(await daemon.exited, 0);
  await until(() => heard('STOPPING=1') === 1, { what: 'STOPPING' });
});
