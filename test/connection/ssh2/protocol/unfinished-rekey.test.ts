import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { Client } from '#ssh2';
import { waitForRekey } from '../../../../src/connection/ssh2/protocol/unfinished-rekey.ts';
import type { Transport } from '../../../../src/net/transport.ts';
import { fakeClock } from '../../../support/clock.ts';

function start() {
  const protocol: { _kexinit: Buffer | undefined; exchangeBegins?: () => void } = { _kexinit: undefined };
  const client = Object.assign(new EventEmitter(), { _protocol: protocol });
  const clock = fakeClock();
  const faults: string[] = [];
  const drained: (() => void)[] = [];
  const below = {
    congested: () => drained.length > 0,
    onceDrained: (resume: () => void) => {
      drained.push(resume);
      return () => {};
    },
  } as unknown as Transport;
  const transport = waitForRekey(client as unknown as Client, below, clock, ({ message }) => faults.push(message));
  return {
    transport,
    clock,
    faults,
    drained,
    begins: () => {
      protocol._kexinit = Buffer.from('our offer');
      protocol.exchangeBegins?.();
    },
    ends: () => {
      protocol._kexinit = undefined;
      client.emit('handshake');
    },
  };
}

test('lets nothing be written during an exchange of keys, and tells of its end', () => {
  const { transport, begins, ends, drained } = start();
  const resumed: string[] = [];
  assert.equal(transport.congested(), false);
  begins();
  assert.equal(transport.congested(), true);
  transport.onceDrained(() => resumed.push('one'));
  const forget = transport.onceDrained(() => resumed.push('forgotten'));
  transport.onceDrained(() => resumed.push('other'));
  forget();
  assert.deepEqual([resumed, drained.length], [[], 0]);
  ends();
  assert.deepEqual(resumed, ['one', 'other']);
  assert.equal(transport.congested(), false);
  // Between two of them the transport below says it.
  transport.onceDrained(() => {});
  assert.deepEqual([transport.congested(), drained.length], [true, 1]);
});

test('reports each exchange that the server does not finish within a minute, and no other', async () => {
  const { transport, clock, begins, ends, faults } = start();
  begins();
  await clock.advance(59_999);
  ends();
  await clock.advance(60_000);
  assert.deepEqual([faults, clock.pending()], [[], 0]);
  begins();
  await clock.advance(60_000);
  assert.deepEqual(faults, ['it does not finish the rekey']);
  ends();
  begins();
  transport.forget();
  await clock.advance(60_000);
  assert.deepEqual([faults.length, clock.pending()], [1, 0]);
});
