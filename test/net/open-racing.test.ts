import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { systemClock } from '../../src/lib/async/clock.ts';
import { openPersistently, type PortChoice } from '../../src/net/open-racing.ts';
import { listen } from '../support/listen.ts';
import { freePort, until } from '../support/until.ts';
import { startBlackHole } from '../support/black-hole.ts';

const patient = new AbortController().signal;

describe('a connection from a port of our choice', { concurrency: 4 }, () => {
  test('comes from the preferred port when it is free', async (t) => {
    const preferred = await freePort();
    const socket = await opened(t, await server(t), choice(preferred, await freePort()));
    assert.equal(socket.localPort, preferred);
  });

  test('comes from the preferred port again at once when it was reset', async (t) => {
    const port = await server(t);
    const preferred = await freePort();
    for (let round = 0; round < 20; round++) {
      const socket = await opened(t, port, choice(preferred, 1));
      assert.equal(socket.localPort, preferred);
      socket.resetAndDestroy();
      await new Promise((resolve) => socket.once('close', resolve));
    }
  });

  test('comes from a fresh port when the preferred one is taken, and from any when both are', async (t) => {
    const port = await server(t);
    const [taken, fresh] = [await server(t, '0.0.0.0'), await freePort()];
    assert.equal((await opened(t, port, choice(taken, fresh))).localPort, fresh);
    const last = await opened(t, port, choice(taken, taken));
    assert.notEqual(last.localPort, taken);
  });

  test('comes from a fresh one while a connection of ours lives on the preferred, which is left alone', async (t) => {
    const port = await server(t);
    const [preferred, fresh] = [await freePort(), await freePort()];
    const first = await opened(t, port, choice(preferred, fresh));
    const second = await opened(t, port, choice(preferred, fresh));
    assert.deepEqual([first.localPort, second.localPort], [preferred, fresh]);
    assert.equal(first.destroyed, false);
  });
});

test('is not opened again when the process was held up for longer than an answer may take', async (t) => {
  let accepted = 0;
  const listening = createServer(() => (accepted += 1));
  t.after(() => listening.close());
  const at = to(await listen(listening));
  const opening = openPersistently(at, { timeoutMs: 60_000, ports: null, clock: systemClock }, patient);
  // The timers that are due then come before what the kernel reports.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1700);
  const socket = await opening;
  t.after(() => socket.destroy());
  await until(() => accepted > 0, { what: 'the connection' });
  socket.destroy();
  await until(() => new Promise((resolve) => listening.getConnections((_, count) => resolve(count === 0))), {
    what: 'the end of all',
  });
  assert.equal(accepted, 1);
});

describe('a server that swallows packets', { concurrency: 4 }, () => {
  test('is asked again and again, and reached soon after it comes back', async (t) => {
    const hole = await startBlackHole(t);
    const preferred = await freePort();
    const opening = openPersistently(
      to(hole.port),
      { timeoutMs: 60_000, ports: choice(preferred, await freePort()), clock: systemClock },
      patient,
    ).catch((error: unknown) => {
      // The port without a listener, in between, refused it.
      assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
      return null;
    });
    // The kernel alone would repeat itself after 1, 3, 7 and 15 seconds.
    await new Promise((resolve) => setTimeout(resolve, 7300));
    await hole.close();
    await server(t, '127.0.0.1', hole.port);
    const back = performance.now();
    const socket = await opening;
    t.after(() => socket?.destroy());
    assert.ok(performance.now() - back < 7000);
  });

  test('takes its time and no more when nothing answers', async (t) => {
    const hole = await startBlackHole(t);
    const started = performance.now();
    const never = openPersistently(
      to(hole.port),
      { timeoutMs: 2000, ports: choice(await freePort(), await freePort()), clock: systemClock },
      patient,
    );
    await assert.rejects(never, { message: 'did not answer within 2 s' });
    assert.ok(performance.now() - started >= 1990);
  });

  test('is left at once when we are told to', async (t) => {
    const hole = await startBlackHole(t);
    const controller = new AbortController();
    const enough = new Error('enough');
    const opening = openPersistently(
      to(hole.port),
      { timeoutMs: 60_000, ports: null, clock: systemClock },
      controller.signal,
    );
    setTimeout(() => controller.abort(enough), 1700);
    await assert.rejects(opening, enough);
  });
});

function choice(preferred: number, fresh: number): PortChoice {
  return { preferred: () => preferred, fresh: () => fresh };
}

function to(port: number) {
  return { host: '127.0.0.1', port };
}

async function opened(t: TestContext, port: number, ports: PortChoice): Promise<Socket> {
  const socket = await openPersistently(to(port), { timeoutMs: 5000, ports, clock: systemClock }, patient);
  t.after(() => socket.destroy());
  return socket;
}

async function server(t: TestContext, host = '127.0.0.1', wanted?: number): Promise<number> {
  const accepted: Socket[] = [];
  const listening = createServer((socket) => accepted.push(socket.on('error', () => {})));
  t.after(() => {
    for (const socket of accepted) socket.destroy();
    listening.close();
  });
  return listen(listening, host, wanted ?? (await freePort()));
}
