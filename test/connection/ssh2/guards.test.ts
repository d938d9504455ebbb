import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import ssh2 from '#ssh2';
import { guardConnection } from '../../../src/connection/ssh2/guards.ts';
import { internalsOf } from '../../../src/connection/ssh2/protocol/internals.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';
import type { SshStream } from '../../../src/net/streams/stream-adapter.ts';
import type { Transport } from '../../../src/net/transport.ts';

/** A client whose server has not said anything, with all guards; `prepare` changes ssh2 before they come. */
function guarded(prepare: (protocol: ReturnType<typeof internalsOf>['_protocol']) => void = () => {}) {
  const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() }) as unknown as SshStream;
  const client = new ssh2.Client();
  client.on('error', () => {});
  client.connect({ sock: stream, username: 'limited', password: 'secret', readyTimeout: 0 });
  const { _protocol: protocol } = internalsOf(client);
  prepare(protocol);
  const tooMany: number[] = [];
  const faults: Error[] = [];
  const spec = { compression: true, pubkeyAcceptedAlgorithms: ['rsa-sha2-256'], rekeyLimit: null };
  const transport = { congested: () => false } as Transport;
  const guards = guardConnection(client, {
    spec,
    stream,
    transport,
    clock: systemClock,
    mostOnItsWay: () => Number.POSITIVE_INFINITY,
    onFault: (error) => faults.push(error),
    onTooManyHostKeys: (count) => tooMany.push(count),
  });
  return { protocol, tooMany, faults, guards };
}

test('judges a message before windows and lists of keys count what is in it', () => {
  const { protocol, tooMany, guards } = guarded();
  const { _handlers: handlers } = protocol;
  assert.throws(() => handlers.CHANNEL_DATA(protocol, 5, Buffer.from('x')), /names channel 5, which never existed/);
  assert.throws(() => handlers.CHANNEL_CLOSE(protocol, 5), /names channel 5, which never existed/);
  for (let key = 0; key <= 16; key += 1) protocol.readHostKey(Buffer.from('key'));
  assert.throws(
    () => handlers.GLOBAL_REQUEST(protocol, 'hostkeys-00@openssh.com', false, []),
    /sends a request before the login/,
  );
  assert.deepEqual(tooMany, []);
  guards.forget();
});

test('sends nothing for a channel after its close, whichever guard would', () => {
  const sent: string[] = [];
  const { protocol, guards } = guarded((ssh) => {
    ssh.channelClose = (id) => sent.push(`close ${id}`);
    ssh.channelWindowAdjust = (id) => sent.push(`window ${id}`);
    ssh.channelFailure = (id) => sent.push(`failure ${id}`);
  });
  protocol.channelWindowAdjust(7, 100);
  protocol.channelClose(7);
  protocol.channelWindowAdjust(7, 100);
  protocol.channelFailure(7);
  assert.deepEqual(sent, ['window 7', 'close 7']);
  guards.forget();
});

test('passes bytes to the parser when the identification is whole', () => {
  const parsed: string[] = [];
  const { protocol, guards } = guarded((ssh) => {
    ssh._parse = (chunk, from, to) => {
      parsed.push(chunk.toString('latin1', from, to));
      return to;
    };
  });
  for (const part of ['SSH-', '2.0-', 'OpenSSH_9.2']) protocol.parse(Buffer.from(part), 0, part.length);
  assert.deepEqual([parsed, guards.identification.seen()], [[], false]);
  protocol.parse(Buffer.from('\r\nmore'), 0, 6);
  assert.deepEqual([parsed, guards.identification.seen()], [['SSH-2.0-OpenSSH_9.2\r\nmore'], true]);
  guards.forget();
});
