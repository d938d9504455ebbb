import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startEcho } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { startAsyncssh, startDropbear } from '../../support/other-servers.ts';
import { pour } from '../../support/pour.ts';
import { socks } from '../../support/socks-client.ts';
import { visit } from '../../support/visit.ts';

/** Of each kind of abort at each server; what is rare shows among many (`npm run test:aborts`: a thousand a direction and forward). */
const ABORTS = Number(process.env['TUNNELD_ABORTS'] ?? 4);

const KINDS = (['local', 'dynamic', 'remote'] as const).flatMap((forward) =>
  (['visitor', 'target'] as const).flatMap((reader) =>
    (['visitor', 'target'] as const).map((aborter) => ({ forward, reader, aborter })),
  ),
);

describe('visitors and targets that abort in the middle of a transfer', { concurrency: 2, timeout: 3_600_000 }, () => {
  test('OpenSSH', async (t) => {
    const sshd = await startSshd({ config: ['LogLevel VERBOSE'] });
    t.after(() => sshd.stop());
    await abortAll(t, sshd);
    // What it says of a message for a channel that was closed.
    assert.doesNotMatch(sshd.log(), /nonexistent channel|non-open|bad ext data|protocol error/i);
  });

  test('Dropbear', async (t) => {
    if (!mayBuildNetworks(t)) return;
    await abortAll(t, await startDropbear(t));
  });

  test('AsyncSSH', async (t) => {
    await abortAll(t, await startAsyncssh(t));
  });
});

/** The connection that all of them share is never lost. */
async function abortAll(t: TestContext, server: Parameters<typeof specFor>[0] & { log(): string }): Promise<void> {
  const echo = await startEcho();
  t.after(() => echo.close());
  const target = await startTarget(t);
  const ports = {
    local: await freePort(),
    dynamic: await freePort(),
    remote: await freePort(),
    echo: await freePort(),
  };
  const at = (port: number, host = '127.0.0.1') => ({ type: 'tcp', host, port }) as const;
  const tunnel = startTunnel(t, {
    ...specFor(server, [[ports.echo, echo.port]]),
    forwards: [
      { kind: 'remote', listen: at(ports.echo, 'localhost'), target: at(echo.port) },
      { kind: 'remote', listen: at(ports.remote, 'localhost'), target: at(target.port) },
      { kind: 'local', listen: at(ports.local), target: at(target.port) },
      { kind: 'dynamic', listen: at(ports.dynamic), target: { type: 'socks' } },
    ],
  });
  await tunnel.untilPhase('up');
  const open = async (forward: keyof typeof ports): Promise<Socket> =>
    forward === 'dynamic'
      ? (await socks(ports.dynamic, 5, '127.0.0.1', target.port)).socket
      : connect(ports[forward], '127.0.0.1');
  for (const kind of KINDS) {
    for (let count = 0; count < ABORTS; count++) {
      const arrival = target.next();
      const visitor = await open(kind.forward);
      t.after(() => void visitor.destroy());
      await abort({ visitor, target: await arrival }, kind, count);
      assertNeverLost(tunnel, `${JSON.stringify(kind)}, ${count + 1} times; the server: ${server.log().slice(-2000)}`);
    }
  }
  assert.equal(await visit(ports.echo, 'still here'), 'still here');
  assertNeverLost(tunnel, 'all');
}

function assertNeverLost(tunnel: TestTunnel, when: string): void {
  const { failure } = tunnel.state();
  const lost = tunnel.phases.slice(tunnel.phases.indexOf('up') + 1);
  assert.deepEqual([failure?.message ?? null, lost], [null, []], `after ${when}`);
}

/** Of a stream that flows, or that a reader has stopped until all windows were full. */
async function abort(
  ends: { readonly visitor: Socket; readonly target: Socket },
  { reader, aborter }: (typeof KINDS)[number],
  count: number,
): Promise<void> {
  const to = ends[reader];
  const from = ends[reader === 'visitor' ? 'target' : 'visitor'];
  for (const end of [to, from]) end.on('error', () => {});
  pour(from, BLOCK);
  to.resume();
  // AsyncSSH 2.10 loses the connection itself where a channel is closed before it has seen that it is open.
  await until(() => to.bytesRead > 0, { what: 'the first bytes' });
  if (count % 2 === 0) {
    to.pause();
    await standstill(from);
  } else {
    const most = (count * 777_777) % 4_000_000;
    await until(() => to.bytesRead > most, { what: `${most} bytes` });
  }
  ends[aborter].resetAndDestroy();
  for (const end of [to, from]) end.resume();
  await until(() => [to, from].every((end) => end.closed || end.readableEnded), { what: 'the end of both' });
}

const BLOCK = Buffer.alloc(64 * 1024, 'x');

/** Nothing is taken any more. */
async function standstill(from: Socket): Promise<void> {
  const sent = () => from.bytesWritten - from.writableLength;
  for (let before = -1; sent() !== before || before === 0;) {
    before = sent();
    await wait(30);
  }
}

/** What a forward leads to: the test does with each connection what it likes. */
async function startTarget(t: TestContext): Promise<{ readonly port: number; next(): Promise<Socket> }> {
  let take = (socket: Socket): void => void socket.destroy();
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    t.after(() => void socket.destroy());
    take(socket);
  });
  const port = await listen(server);
  t.after(() => void server.close());
  return { port, next: () => new Promise((resolve) => (take = resolve)) };
}
