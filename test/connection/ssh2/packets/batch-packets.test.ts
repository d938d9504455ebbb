import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import type { Channel } from '../../../../src/connection/ssh/connection.ts';
import type { Protocol } from '../../../../src/connection/ssh2/protocol/internals.ts';
import { deferred } from '../../../../src/lib/async/abort.ts';
import { systemClock, type Clock } from '../../../../src/lib/async/clock.ts';
import { loopIteration } from '../../../../src/lib/async/loop-iteration.ts';
import { loadAddon } from '../../../../src/lib/addon.ts';
import type { TunnelSpec } from '../../../../src/model/spec.ts';
import { createTurns } from '../../../../src/net/pacing/turns.ts';
import { afterRead } from '../../../../src/net/streams/lent-memory.ts';
import { connectTo } from '../../../support/connection.ts';
import { pattern, startEcho, startNeverReads, startSource, type TestTarget } from '../../../support/echo.ts';
import { startSshd, type TestSshd } from '../../../support/sshd.ts';
import { freePort, until } from '../../../support/until.ts';

describe('past its stream, a channel', () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd();
  });
  after(() => sshd.stop());

  for (const [name, changes] of [
    ['AES-GCM', { ciphers: ['aes128-gcm@openssh.com'] }],
    ['ChaCha20', { ciphers: ['chacha20-poly1305@openssh.com'] }],
    ['a cipher of ssh2', { ciphers: ['aes128-ctr'] }],
    ['compression', { compression: true }],
  ] as const)
    test(`sends from memory that is used again, in the order of the stream, with ${name}`, async (t) => {
      const { channel } = await open(t, await startEcho(), changes);
      const echoed: Buffer[] = [];
      channel.on('data', (chunk: Buffer) => echoed.push(Buffer.from(chunk)));
      const data = pattern(0, 400_000);
      const memory = Buffer.alloc(200_100);
      for (const part of [0, 1]) {
        data.copy(memory, 100, part * 200_000, part * 200_000 + 100_000);
        assert.equal(channel.sendNow!(memory, 100, 100_100), 100_000);
        memory.fill(0xee);
        channel.write(data.subarray(part * 200_000 + 100_000, (part + 1) * 200_000));
      }
      await until(() => echoed.reduce((sum, { length }) => sum + length, 0) === data.length, { what: 'the echo' });
      assert.ok(Buffer.concat(echoed).equals(data));
    });

  test('sends no more than the window of the server, and nothing ahead of what waits in the stream', async (t) => {
    const { channel, outgoing } = await open(t, await startNeverReads());
    const memory = Buffer.alloc(8 * 1024 * 1024);
    const { window } = outgoing;
    assert.ok(window > 0 && window < memory.length);
    assert.equal(channel.sendNow!(memory, 0, memory.length), window);
    assert.equal(outgoing.window, 0);
    assert.equal(channel.sendNow!(memory, 0, memory.length), 0);
    channel.write('waits');
    outgoing.window = 10;
    assert.equal(channel.sendNow!(memory, 0, memory.length), 0);
  });

  test('reports that the server opens its window, where that is all that data waits for', async (t) => {
    const target = await startEcho();
    const { channel, outgoing, protocol } = await open(t, target);
    let reports = 0;
    const listener = () => (reports += 1);
    assert.equal(channel.onceWindowOpens!(listener), false);
    const memory = Buffer.alloc(8 * 1024 * 1024);
    // What comes back is not read yet, so that the target stops reading.
    channel.pause();
    const sent = channel.sendNow!(memory, 0, memory.length);
    assert.equal(outgoing.window, 0);
    assert.equal(channel.onceWindowOpens!(listener), true);
    channel.resume();
    await until(() => reports > 0, { what: 'the window' });
    assert.ok(outgoing.window > 0 && sent > 0);
    await until(() => outgoing.window >= sent / 2, { what: 'more of it' });
    assert.equal(reports, 1);
    outgoing.window = 0;
    protocol.rekey();
    assert.equal(channel.onceWindowOpens!(listener), false);
  });

  test('keeps little on its way beside another one that says little, and is told when it may go on', async (t) => {
    const target = await startEcho();
    const { channel, beside } = await open(t, target);
    const typed = await beside();
    const memory = Buffer.alloc(1024 * 1024);
    let reports = 0;
    assert.equal(typed.sendNow!(memory, 0, 1), 1);
    const sent = channel.sendNow!(memory, 0, memory.length);
    assert.ok(sent > 0 && sent < memory.length, `${sent}`);
    assert.equal(channel.sendNow!(memory, 0, memory.length), 0);
    assert.equal(
      channel.onceWindowOpens!(() => (reports += 1)),
      true,
    );
    channel.on('data', () => {});
    await until(() => reports === 1, { what: 'a report' });
  });

  test('is not held back where the server grants nothing for it', async (t) => {
    const { channel, outgoing, beside } = await open(t, await startNeverReads());
    const typed = await beside();
    const memory = Buffer.alloc(8 * 1024 * 1024);
    let free = 0;
    for (let left = outgoing.window; left > 0; left = outgoing.window) {
      typed.sendNow!(memory, 0, 1);
      if (channel.sendNow!(memory, 0, memory.length) === left) break;
      const before = free;
      assert.equal(
        channel.onceWindowOpens!(() => (free += 1)),
        true,
      );
      await until(() => free > before, { what: 'a report' });
    }
    assert.equal(outgoing.window, 0);
    assert.ok(free > 0);
  });

  test('gets less of a window from us for a fast transfer, while another channel says little', async (t) => {
    // As fast as can be: no time goes by.
    const clock = { ...systemClock, now: () => 5000 };
    const { channel, beside } = await open(t, await startSource(512 * 1024 * 1024), {}, clock);
    const echo = await startEcho();
    t.after(() => echo.close());
    const typed = (await beside(echo)).on('data', () => {});
    const { incoming } = channel as unknown as { readonly incoming: { window: number } };
    channel.takesLent = true;
    channel.on('data', () => {});
    let largest = Number.POSITIVE_INFINITY;
    let isFirst = true;
    channel.onLent = () => {
      largest = incoming.window;
      if (isFirst)
        afterRead(() => {
          isFirst = true;
          typed.sendNow!(Buffer.from('x'), 0, 1);
          letServerSend(1);
        });
      isFirst = false;
    };
    await until(() => largest <= 768 * 1024, { what: 'a small window' });
    for (let i = 0; i < 100; i++) {
      await new Promise(setImmediate);
      assert.ok(largest <= 768 * 1024, `${largest}`);
    }
    channel.close();
  });

  test('sends nothing during an exchange of keys, and nothing after its end', async (t) => {
    const { channel, protocol } = await open(t, await startEcho());
    const memory = Buffer.from('data');
    protocol.rekey();
    assert.equal(channel.sendNow!(memory, 0, 4), 0);
    await until(() => protocol._kexinit === undefined, { what: 'the end of the exchange' });
    assert.equal(channel.sendNow!(memory, 0, 4), 4);
    channel.end();
    assert.equal(channel.sendNow!(memory, 0, 4), 0);
  });

  test('is confirmed to the server before the visit goes on', async (t) => {
    const port = await freePort();
    const visited = deferred<number>();
    const connection = await connectTo(
      t,
      sshd,
      (visitor) => {
        const before = sent();
        visitor.accept();
        visited.resolve(sent() - before);
      },
      sshd.port,
      ownTurns(),
    );
    const sent = () => connection.transport.traffic().bytesSent + connection.transport.traffic().backlog;
    await connection.listen({ type: 'tcp', host: 'localhost', port });
    const visitor = connect(port, '127.0.0.1').on('error', () => {});
    t.after(() => visitor.destroy());
    assert.ok((await visited.promise) > 0);
  });

  test('has the kernel acknowledge a few bytes at once, and leaves it to it when there are many', async (t) => {
    const addon = loadAddon().addon!;
    const { acknowledge } = addon;
    let count = 0;
    addon.acknowledge = (fd) => {
      count += 1;
      assert.ok(acknowledge(fd));
      return true;
    };
    t.after(() => (addon.acknowledge = acknowledge));
    const { channel } = await open(t, await startEcho(), { ciphers: ['aes128-gcm@openssh.com'] });
    let bytes = 0;
    channel.on('data', (chunk: Buffer) => (bytes += chunk.length));
    for (let sent = 1; sent <= 5; sent += 1) {
      const before = count;
      channel.write('x');
      await until(() => bytes === sent && count > before, { what: 'an echo, and its acknowledgement' });
    }
    const before = count;
    channel.write(Buffer.alloc(1_000_000));
    await until(() => bytes === 1_000_005, { what: 'all of it' });
    // It comes in packets of 32 KiB.
    assert.ok(count - before < 100, `${count - before}`);
  });

  test('grants the server what each large read has used up, by one message, before anything else', async (t) => {
    const reads = await largeReads(t);
    const otherwise = reads.filter(({ granted, messages }) => !granted || messages !== 1);
    assert.deepEqual(otherwise, []);
  });

  test('reads little of a transfer at once, and once in an iteration of the event loop, while another channel says little', async (t) => {
    const { channel, beside } = await open(t, await startSource(512 * 1024 * 1024));
    const echo = await startEcho();
    t.after(() => echo.close());
    const typed = (await beside(echo)).on('data', () => {});
    const reads: { bytes: number; iteration: number }[] = [];
    let bytes = 0;
    channel.takesLent = true;
    channel.on('data', () => {});
    channel.onLent = (_memory, start, end) => {
      if (bytes === 0)
        afterRead(() => {
          typed.sendNow!(Buffer.from('x'), 0, 1);
          reads.push({ bytes, iteration: loopIteration() });
          bytes = 0;
          letServerSend(1);
        });
      bytes += end - start;
    };
    await until(() => reads.length > 60, { what: 'reads' });
    channel.close();
    // The first ones found nobody who waits; with the begin of a packet that came before there may be more than 128 KiB.
    const later = reads.slice(20);
    assert.deepEqual(
      later.filter((read, i) => read.bytes > 160 * 1024 || read.iteration === later[i - 1]?.iteration),
      [],
    );
  });

  /** Of a transfer, until there are two in an iteration of the event loop. */
  async function largeReads(t: TestContext) {
    const { channel, protocol, sent } = await open(t, await startSource(512 * 1024 * 1024));
    const reads: { bytes: number; iteration: number; granted: boolean; messages: number }[] = [];
    let bytes = 0;
    channel.takesLent = true;
    channel.on('data', () => {});
    channel.onLent = (_memory, start, end) => {
      if (bytes === 0) {
        const [before, sequence] = [sent(), protocol._cipher.outSeqno];
        afterRead(() => {
          const [granted, messages] = [sent() > before, protocol._cipher.outSeqno - sequence];
          if (bytes > 512 * 1024) reads.push({ bytes, iteration: loopIteration(), granted, messages });
          bytes = 0;
          letServerSend();
        });
      }
      bytes += end - start;
    };
    const isFollowed = () => reads.some(({ iteration }, i) => reads[i - 1]?.iteration === iteration);
    await until(isFollowed, { what: 'two large reads of one iteration' });
    channel.close();
    return reads;
  }

  test('grants nothing for a channel that is not read any more, until it is', async (t) => {
    const { channel, protocol } = await open(t, await startNeverReads());
    const { incoming } = channel as unknown as { readonly incoming: { readonly id: number; window: number } };
    const { id, window } = incoming;
    channel.takesLent = true;
    await once(
      channel.on('data', () => {}),
      'resume',
    );
    channel.onLent = () => {
      if (incoming.window === 0) channel.pause();
    };
    const { outSeqno: before } = protocol._cipher;
    // As if the server had used up the whole window: nothing of it is in the stream, where ssh2 would grant it.
    const memory = Buffer.alloc(32 * 1024);
    while (incoming.window > 0) assert.ok(protocol.takeData(id, memory, 0, Math.min(memory.length, incoming.window)));
    protocol.grantWindows();
    assert.deepEqual([channel.isPaused(), incoming.window, protocol._cipher.outSeqno], [true, 0, before]);
    await once(channel.resume(), 'resume');
    assert.deepEqual([incoming.window, protocol._cipher.outSeqno], [window, before + 1]);
    protocol.grantWindows();
    assert.equal(protocol._cipher.outSeqno, before + 1);
  });

  test('goes through objects whose properties V8 finds without a search, also after an exchange of keys', async (t) => {
    const { channel, outgoing, protocol } = await open(t, await startEcho());
    protocol.rekey();
    await until(() => protocol._kexinit === undefined, { what: 'the end of the exchange' });
    channel.write('x');
    await once(channel, 'data');
    const { _handlers: handlers, _cipher: cipher, _decipher: decipher } = protocol;
    const addon = loadAddon().addon!;
    const all = { protocol, handlers, cipher, decipher: decipher!, channel, outgoing, addon };
    for (const [name, object] of Object.entries(all)) assert.ok(hasFastProperties(object), name);
    const searched = { first: 1, second: 2 } as Record<string, number>;
    delete searched['first'];
    assert.ok(!hasFastProperties(searched));
  });

  async function open(
    t: TestContext,
    target: TestTarget,
    changes: Partial<TunnelSpec> = {},
    clock: Clock = systemClock,
  ) {
    const connection = await connectTo(t, sshd, () => {}, sshd.port, ownTurns(), changes, clock);
    t.after(() => target.close());
    const to = { type: 'tcp', host: '127.0.0.1', port: target.port } as const;
    const channel = await connection.open(to, { address: '127.0.0.1', port: 1 });
    const inside = channel as unknown as { readonly outgoing: { window: number }; readonly _client: Inside };
    return {
      channel: channel satisfies Channel,
      outgoing: inside.outgoing,
      sent: () => connection.transport.traffic().bytesSent,
      protocol: inside._client._protocol,
      /** Another channel of the same connection. */
      beside: ({ port } = target): Promise<Channel> =>
        connection.open({ ...to, port }, { address: '127.0.0.1', port: 2 }),
    };
  }
});

/** All that its windows allow, while nothing is read: the next reads are large. */
function letServerSend(ms = 10): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** V8's own word on it (%HasFastProperties of its runtime). */
function hasFastProperties(object: object): boolean {
  setFlagsFromString('--allow-natives-syntax');
  try {
    return (runInThisContext('(object) => %HasFastProperties(object)') as (object: object) => boolean)(object);
  } finally {
    setFlagsFromString('--no-allow-natives-syntax');
  }
}

interface Inside {
  readonly _protocol: Protocol & { rekey(): void };
}

/** Another connection to the same server would wait. */
function ownTurns() {
  return createTurns({ clock: systemClock, random: Math.random, icmpRefusals: () => null });
}
