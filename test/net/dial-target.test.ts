import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/lib/async/clock.ts';
import type { ServerSpec } from '../../src/model/spec.ts';
import { connectNative, NativeSocket } from '../../src/net/streams/native-socket.ts';
import { dialForVisitor, dialTarget } from '../../src/net/dial-target.ts';
import type { Lookup } from '../../src/net/addresses/resolve-host.ts';
import { listen } from '../support/listen.ts';
import { freePort } from '../support/until.ts';

test('looks a name up once where it has just led to an answer, and again after ten seconds', async (t) => {
  const { port } = await listener(t, '127.0.0.1');
  const world = namesAt(t, port);
  for (const ms of [0, 9999]) {
    world.clockIsAhead(ms);
    assert.equal(await world.dialled('127.0.0.1'), '127.0.0.1');
    assert.equal(world.asked(), 1);
  }
  world.clockIsAhead(60_000);
  await world.dialled('127.0.0.1');
  assert.equal(world.asked(), 2);
});

test('looks a name up again at once when it leads nowhere any more, and remembers nothing that failed', async (t) => {
  const { port, server } = await listener(t, '127.0.0.2', await freePort());
  const world = namesAt(t, port);
  assert.equal(await world.dialled('127.0.0.2'), '127.0.0.2');
  await listener(t, '127.0.0.1', port);
  await new Promise((resolve) => server.close(resolve));
  assert.equal(await world.dialled('127.0.0.1'), '127.0.0.1');
  assert.equal(world.asked(), 2);

  const other = namesAt(t, port);
  for (const count of [1, 2]) {
    await assert.rejects(other.dialled('127.0.0.2'), { message: `target.example:${port}: ECONNREFUSED` });
    assert.equal(other.asked(), count);
  }
  assert.equal(await other.dialled('127.0.0.1'), '127.0.0.1');
});

test('names what refuses when the remembered address and the one that is found refuse', async (t) => {
  const { port, server } = await listener(t, '127.0.0.2');
  const world = namesAt(t, port);
  await world.dialled('127.0.0.2');
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(world.dialled('127.0.0.3'), { message: `target.example:${port}: ECONNREFUSED` });
});

test('begins to connect to an address before its caller goes on', async (t) => {
  const { port } = await listener(t, '127.0.0.1');
  const spec = { connectTimeoutMs: 60_000, addressFamily: 'any' } as const;
  const connecting = () => process.getActiveResourcesInfo().filter((name) => name === 'ConnectWrap').length;
  const before = connecting();
  const dialled = dialTarget({ type: 'tcp', host: '127.0.0.1', port }, spec, systemClock, new AbortController().signal);
  assert.equal(connecting(), before + 1);
  (await dialled).destroy();
});

test('dials for a visitor without Node.js what answers at once on this machine, and with it all else', async (t) => {
  const { port } = await listener(t, '127.0.0.1');
  const spec = { connectTimeoutMs: 60_000, addressFamily: 'any' } as const;
  const { signal } = new AbortController();
  const dial = async (host: string, addressFamily: ServerSpec['addressFamily'] = 'any') => {
    const target = { type: 'tcp', host, port } as const;
    const socket = await dialForVisitor(target, { ...spec, addressFamily }, systemClock, signal, lookup);
    t.after(() => socket.destroy());
    return socket instanceof NativeSocket ? `native ${socket.remoteAddress}` : socket.remoteAddress;
  };
  let found = ['127.0.0.1'];
  const lookup: Lookup = () => Promise.resolve(found.map((address) => ({ address, family: 4 })));
  assert.equal(await dial('127.0.0.1'), 'native 127.0.0.1');
  await assert.rejects(dial('127.0.0.1', 'inet6'), { message: /not allowed by addressFamily: inet6/ });
  // A name is looked up once, and then known for a while.
  assert.equal(await dial('known.example'), '127.0.0.1');
  assert.equal(await dial('known.example'), 'native 127.0.0.1');
  // Nobody listens there.
  assert.equal(await connectNative('127.0.0.9', port, systemClock), null);
  await assert.rejects(dial('127.0.0.9'), { message: `127.0.0.9:${port}: ECONNREFUSED` });
  found = ['127.0.0.9', '127.0.0.1'];
  assert.equal(await dial('two.example'), '127.0.0.1');
  assert.equal(await dial('two.example'), 'native 127.0.0.1');
});

async function listener(t: TestContext, host: string, port?: number): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => socket.destroy());
  t.after(() => server.close());
  return { port: await listen(server, host, port), server };
}

/** A resolver, and what has been asked of it. */
function namesAt(t: TestContext, port: number) {
  let address = '';
  let asked = 0;
  let ahead = 0;
  const lookup: Lookup = () => {
    asked += 1;
    return Promise.resolve([{ address, family: 4 }]);
  };
  const began = systemClock.now();
  const clock = { ...systemClock, now: () => began + ahead };
  return {
    asked: () => asked,
    clockIsAhead: (ms: number) => (ahead = ms),
    /** Dials when the name leads to this address; returns where it came to. */
    dialled: async (now: string) => {
      address = now;
      const target = { type: 'tcp', host: 'target.example', port } as const;
      const spec = { connectTimeoutMs: 600_000, addressFamily: 'any' } as const;
      const socket = await dialTarget(target, spec, clock, new AbortController().signal, lookup);
      t.after(() => socket.destroy());
      return socket.remoteAddress;
    },
  };
}
