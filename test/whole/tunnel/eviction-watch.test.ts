import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { SourcePorts } from '../../../src/net/source-ports.ts';
import { startEcho } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';

test("remembers when the server let go of a tunnel's dead connection, and after how long", async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const evictions: { readonly day: string; readonly seconds: number }[] = [];
  const sourcePorts = (): SourcePorts => ({
    preferred: () => 0,
    fresh: () => 0,
    used: () => {},
    earlier: () => [],
    forget: () => {},
    evicted: (eviction) => evictions.push(eviction),
  });
  const port = await freePort();
  const spec = specFor(sshd, [[port, echo.port]], { sourcePort: 'sticky' });
  const tunnel = startTunnel(t, spec, { device: { sourcePorts } });
  await tunnel.untilPhase('up');
  assert.equal(evictions.length, 0);
  await sshd.kill();
  // As a dead connection does, it takes visitors and says nothing.
  const dead = await Promise.all(
    ['127.0.0.1', '::1'].map(async (host) => {
      const server = createServer((socket) => socket.on('error', () => {}).resume());
      await listen(server, host, port);
      t.after(() => server.close());
      return server;
    }),
  );
  await sshd.restart();
  const { failure } = await tunnel.untilFailure('forward-refused');
  assert.match(failure?.message ?? '', /most likely a dead connection of this tunnel/);
  assert.equal(evictions.length, 0);
  for (const server of dead) server.close();
  await tunnel.untilPhase('up');
  await until(() => evictions.length === 1, { what: 'the memory' });
  assert.match(evictions[0]?.day ?? '', /^20\d\d-\d\d-\d\d$/);
  assert.ok(Number.isSafeInteger(evictions[0]?.seconds));
});
