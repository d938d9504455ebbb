import assert from 'node:assert/strict';
import { Duplex, Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createEmitter } from '../../src/lib/async/emitter.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { createTransport, type Transport } from '../../src/net/transport.ts';
import { adaptStreams } from '../../src/net/streams/stream-adapter.ts';
import { fakeClock } from '../support/clock.ts';

/** A connection below that is congested until the test says otherwise. */
function below() {
  const drained = createEmitter();
  const state = { congested: true, backlog: 1000 };
  const transport: Transport = {
    lost: () => false,
    cork: () => {},
    congested: () => state.congested,
    readAtOnce: () => 1000,
    onceDrained: (resume) => drained.subscribe(resume),
    traffic: () => ({ heardAt: 0, bytesSent: 0, backlog: state.backlog }),
    addresses: null,
    direct: false,
  };
  return { state, transport, drained };
}

test('goes on when the connection below is free, however little waits above', async () => {
  let finish = () => {};
  const writable = new Writable({ write: (_chunk, _encoding, done) => (finish = () => done()) });
  const wire = adaptStreams({ readable: new Readable({ read() {} }), writable, close() {} });
  const { state, transport: lower, drained } = below();
  const transport = createTransport(wire, { addresses: null, direct: false }, systemClock, lower);
  wire.write(Buffer.alloc(1000));
  assert.equal(transport.congested(), true);
  let resumed = false;
  transport.onceDrained(() => (resumed = true));
  finish();
  await wait(10);
  state.congested = false;
  drained.emit();
  assert.equal(resumed, true);
  assert.equal(transport.congested(), false);
});

test('takes for left what has left the device, not what waits below', async () => {
  const writable = new Writable({ write: (_chunk, _encoding, done) => done() });
  const wire = adaptStreams({ readable: new Readable({ read() {} }), writable, close() {} });
  const { state, transport: lower } = below();
  const transport = createTransport(wire, { addresses: null, direct: false }, systemClock, lower);
  wire.write(Buffer.alloc(1000));
  await wait(10);
  assert.deepEqual([transport.traffic().backlog, transport.traffic().bytesSent], [1000, 0]);
  state.backlog = 0;
  assert.deepEqual([transport.traffic().backlog, transport.traffic().bytesSent], [0, 1000]);
});

test('is congested only where it also tells when it is no more, on a slow line and with the streams of newer versions of Node.js', async () => {
  let finish = () => {};
  const stream = new Duplex({
    writableHighWaterMark: 65_536,
    read() {},
    write: (_chunk, _encoding, done) => (finish = () => done()),
  });
  const wire = Object.assign(stream, { bytesWritten: 0, resetAndDestroy: () => stream.destroy() });
  const clock = fakeClock();
  const transport = createTransport(wire, { addresses: null, direct: false }, clock);
  transport.readAtOnce();
  wire.write(Buffer.alloc(1000));
  await clock.advance(20);
  assert.ok(transport.readAtOnce() < 20_000);
  finish();
  await wait(1);
  for (const bytes of [10_000, 20_000, 65_536, 70_000, 300_000]) {
    wire.write(Buffer.alloc(bytes));
    const congested = transport.congested();
    let resumed = false;
    const forget = transport.onceDrained(() => (resumed = true));
    finish();
    await wait(10);
    forget();
    assert.ok(resumed || !congested, `${bytes}`);
    assert.ok(congested || bytes < 100_000, `${bytes}`);
  }
});

test('stops to read when its reader stops', async () => {
  let asked = 0;
  const readable = new Readable({
    highWaterMark: 1024,
    read() {
      asked += 1;
      this.push(Buffer.alloc(1024));
    },
  });
  const writable = new Writable({ write: (_chunk, _encoding, done) => done() });
  const wire = adaptStreams({ readable, writable, close: () => readable.destroy() });
  await wait(50);
  assert.ok(asked < 100, `${asked} chunks were read for nobody`);
  wire.destroy();
});
