import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort } from '../../support/until.ts';
import { startMicrosocks, startTinyproxy } from '../../support/proxies.ts';
import { visit } from '../../support/visit.ts';

const sshd = await startSshd();
after(() => sshd.stop());

test('goes through both kinds of proxy, whose packages the bundle loads when they are wanted', async (t) => {
  const echo = await startEcho();
  t.after(() => echo.close());
  const proxies = {
    http: `http://127.0.0.1:${await startTinyproxy(t, sshd.port, false)}`,
    socks: `socks5://127.0.0.1:${await startMicrosocks(t)}`,
  };
  const ports = { http: await freePort(), socks: await freePort() };
  const tunnels = (['http', 'socks'] as const).map((name) =>
    tunnelYaml(sshd, name, `${ports[name]}:127.0.0.1:${echo.port}`, `    proxy: ${proxies[name]}\n`),
  );
  const daemon = await startDaemonProcess(t, `tunnels:\n${tunnels.join('')}`);
  await daemon.untilStatus((status) => status.tunnels.every(({ phase }) => phase === 'up'), 'both tunnels');
  for (const port of Object.values(ports)) assert.equal(await visit(port, 'hello'), 'hello');
});
