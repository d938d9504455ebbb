import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { startEcho, startSource } from '../../support/echo.ts';
import { startSlowLine } from '../../support/proxies.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';

test('lets a keystroke pass within a part of what a transfer may have under way, on a slow line', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const [source, echo] = [await startSource(60_000_000), await startEcho()];
  t.after(() => Promise.all([source.close(), echo.close()]));
  const port = await startSlowLine(t, sshd.port, 2_500_000);
  const [bulk, typed] = [await freePort(), await freePort()];
  const forwards = [
    [bulk, source.port],
    [typed, echo.port],
  ] as const;
  const tunnel = startTunnel(t, specFor(sshd, forwards, { port }));
  await tunnel.untilPhase('up');
  const visitor = await open(t, bulk);
  const person = await open(t, typed);
  await until(() => visitor.bytes() > 4_000_000, { what: 'the transfer' });
  const ahead: number[] = [];
  for (let i = 0; i < 15; i++) {
    const before = visitor.bytes();
    person.socket.write('x');
    await once(person.socket, 'data');
    ahead.push(visitor.bytes() - before);
  }
  ahead.sort((a, b) => a - b);
  // A window of OpenSSH is two megabytes, and all of them would be ahead.
  assert.ok(ahead[7]! < 1_000_000, `${ahead.join(', ')} bytes came before an answer`);
});

async function open(t: TestContext, port: number) {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.setNoDelay(true);
  let bytes = 0;
  socket.on('data', (chunk) => (bytes += chunk.length));
  await once(socket, 'connect');
  return { socket, bytes: () => bytes };
}
