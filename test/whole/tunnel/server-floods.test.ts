import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { after, describe, test, type TestContext } from 'node:test';
import type { Socket } from 'node:net';
import { rawPublicKey } from '../../../src/connection/ssh/raw-key.ts';
import type { Connection } from 'ssh2';
import ssh2 from '#ssh2';
import { asFailure, type TunnelFailure } from '../../../src/model/failure.ts';
import type { Channel, Visitor } from '../../../src/connection/ssh/connection.ts';
import { startSshd } from '../../support/sshd.ts';
import { until } from '../../support/until.ts';
import { connectTo } from '../../support/connection.ts';
import { sendPayload, startFakeSsh, uint32 } from '../../support/fake-server.ts';

const sshd = await startSshd();
after(() => sshd.stop());

const GLOBAL_REQUEST = 80;
const REQUEST_SUCCESS = 81;
const OPEN = 90;
const DATA = 94;
const EOF = 96;
const PORT = 8080;

/** Enough to take a third of a second. */
const COUNT = 300;

describe('messages that come in one read', { concurrency: 4 }, () => {
  for (const when of ['after the login', 'in the middle of an exchange of keys'])
    test(`let the event loop go round between them, in their order, ${when}`, async (t) => {
      const rounds = countRounds(t);
      const seen: number[] = [];
      const at: number[] = [];
      const flooded = await startFlooded(t, (visitor) => {
        at.push(rounds());
        seen.push(Number(visitor.originator.split(':').at(-1)));
        work();
        visitor.reject();
      });
      if (when !== 'after the login') flooded.protocol.rekey();
      flooded.burst(COUNT);
      await until(() => seen.length === COUNT, { what: () => `all of them, not ${seen.length}` });
      assert.deepEqual(
        seen,
        Array.from({ length: COUNT }, (_, index) => index + 1),
      );
      const between = at.at(-1)! - at[0]!;
      assert.ok(between >= COUNT / 20, `the loop went round ${between} times`);
    });

  test('are few in one turn when each leaves more to be done, however soon it is taken', async (t) => {
    const rounds = countRounds(t);
    const at: number[] = [];
    const flooded = await startFlooded(t, (visitor) => {
      at.push(rounds());
      visitor.reject();
    });
    flooded.burst(COUNT);
    await until(() => at.length === COUNT, { what: () => `all of them, not ${at.length}` });
    const most = Math.max(...at.map((round) => at.filter((other) => other === round).length));
    assert.ok(most <= 60, `${most} in one turn`);
  });

  test('are judged all the same when their turn comes', async (t) => {
    const flooded = await startFlooded(t, (visitor) => {
      work();
      visitor.reject();
    });
    flooded.burst(COUNT, () => flooded.send(DATA, uint32(7777), 'x'));
    const { code, message } = await flooded.lost();
    assert.equal(code, 'disconnected');
    assert.equal(message, 'the server broke the SSH protocol: it names channel 7777, which never existed');
  });
});

/** About as long as a small computer takes to dial a target. */
function work(): void {
  for (const since = performance.now(); performance.now() - since < 1;);
}

/** How often the event loop has gone round. */
function countRounds(t: TestContext): () => number {
  let rounds = 0;
  let next = setImmediate(function round() {
    rounds += 1;
    next = setImmediate(round);
  });
  t.after(() => clearImmediate(next));
  return () => rounds;
}

test('puts small messages together when the peer does not read', async (t) => {
  const channels: Channel[] = [];
  const flooded = await startFlooded(t, (visitor) => channels.push(visitor.accept()));
  const id = await flooded.visitor();
  const [channel] = channels;
  assert.ok(channel);
  const words = randomBytes(50_000)
    .toString('latin1')
    .replaceAll(/[^\x20-\x7e]/g, '.');
  for (const word of words) flooded.send(DATA, uint32(id), word);
  flooded.send(EOF, uint32(id));
  // The end comes last, and is seen without a read.
  const { incoming } = channel as unknown as { readonly incoming: { readonly state: string } };
  await until(() => incoming.state === 'eof', { what: 'the end' });
  const chunks: Buffer[] = [];
  channel.on('data', (chunk: Buffer) => chunks.push(chunk));
  await until(() => channel.readableEnded, { what: 'all of it' });
  assert.equal(Buffer.concat(chunks).toString(), words);
  assert.ok(chunks.length < 50, `${chunks.length} pieces`);
});

test('sends small messages when the peer reads now and then', async (t) => {
  const channels: Channel[] = [];
  const flooded = await startFlooded(t, (visitor) => channels.push(visitor.accept()));
  const id = await flooded.visitor();
  const [channel] = channels;
  assert.ok(channel);
  let heard = '';
  channel.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
    channel.pause();
    setImmediate(() => channel.resume());
  });
  let sent = '';
  for (let round = 0; round < 200; round++) {
    for (let count = 0; count < 20; count++) {
      const word = 'x'.repeat(1 + ((round * count) % 97));
      sent += word;
      flooded.send(DATA, uint32(id), word);
    }
    const large = 'y'.repeat(round % 7 === 0 ? 20_000 : 0);
    sent += large;
    if (large !== '') flooded.send(DATA, uint32(id), large);
    if (round % 10 === 0)
      await until(() => heard.length === sent.length, { what: () => `${sent.length}, not ${heard.length}` });
  }
  await until(() => heard.length === sent.length, { what: () => `${sent.length}, not ${heard.length}` });
  assert.equal(heard, sent);
});

test('leaves a server when it never closes its ends of channels', async (t) => {
  const flooded = await startFlooded(t, (visitor) => {
    const channel = visitor.accept();
    channel.on('error', () => {});
    channel.resume().destroy();
  });
  const { _handlers: handlers } = flooded.protocol;
  let open = 0;
  handlers['CHANNEL_OPEN_CONFIRMATION'] = () => (open += 1);
  for (const message of ['CHANNEL_CLOSE', 'CHANNEL_EOF']) handlers[message] = () => {};
  for (let round = 1; round <= 5; round++) {
    flooded.burst(1000);
    if (round <= 4) await until(() => open === round * 1000, { what: () => `${round * 1000}, not ${open}` });
  }
  const { code, message } = await flooded.lost();
  assert.equal(code, 'disconnected');
  assert.match(message, /leaves more than 4096 channels open/);
});

describe('host keys that a server announces', () => {
  const text = (value: string | Buffer) => Buffer.concat([uint32(value.length), Buffer.from(value)]);

  test('are not read when there are thousands', async (t) => {
    const flooded = await startFlooded(t, () => {});
    const read = t.mock.method(ssh2.utils, 'parseKey');
    const keys = Array.from({ length: 3000 }, () => text(Buffer.concat([text('ssh-ed25519'), text(randomBytes(32))])));
    flooded.send(GLOBAL_REQUEST, 'hostkeys-00@openssh.com', 1, ...keys);
    await until(() => flooded.refused() === 1, { what: 'a refusal' });
    assert.equal(read.mock.callCount(), 16);
    assert.deepEqual(flooded.proofs(), []);
  });

  test('are not asked to be proven when that takes long', async (t) => {
    const flooded = await startFlooded(t, () => {});
    const number = (bytes: number) => text(Buffer.concat([Buffer.of(0, 0x80), randomBytes(bytes - 2), Buffer.of(1)]));
    const rsa = (exponent: Buffer) => text(Buffer.concat([text('ssh-rsa'), text(exponent), number(2048)]));
    const dsa = text(Buffer.concat([text('ssh-dss'), number(1250), number(32), text(Buffer.of(2)), number(1240)]));
    const { publicKey } = generateKeyPairSync('ed25519');
    const raw = rawPublicKey(publicKey);
    const good = text(Buffer.concat([text('ssh-ed25519'), text(raw)]));
    const usual = rsa(Buffer.of(1, 0, 1));
    flooded.send(GLOBAL_REQUEST, 'hostkeys-00@openssh.com', 0, dsa, good, rsa(Buffer.alloc(8, 0x7f)), usual);
    await until(() => flooded.proofs().length === 1, { what: 'the question' });
    assert.ok(flooded.proofs()[0]?.equals(Buffer.concat([good, usual])));
    flooded.send(REQUEST_SUCCESS);
  });
});

interface Flooded {
  /** The server's end, as ssh2 has it. */
  readonly protocol: ServerSide;
  send(...parts: readonly (number | string | Buffer)[]): void;
  /** So many visitors in one write, from the ports 1, 2, ..., and what else is to be sent with them. */
  burst(count: number, last?: () => void): void;
  /** Our number for a visitor that was let in. */
  visitor(): Promise<number>;
  lost(): Promise<TunnelFailure>;
  /** How many requests of the server were refused, and what it was asked to prove. */
  refused(): number;
  proofs(): readonly Buffer[];
}

/** A connection with a listener, to a server in this process. */
async function startFlooded(t: TestContext, onVisitor: (visitor: Visitor) => void): Promise<Flooded> {
  const ends: { readonly server: Connection; readonly socket: Socket }[] = [];
  const proofs: Buffer[] = [];
  let refused = 0;
  const { port } = await startFakeSsh(t, sshd, (server, socket) => {
    server.on('authentication', (attempt) => attempt.accept());
    server.on('request', (accept) => accept?.());
    ends.push({ server, socket });
  });
  const connection = await connectTo(t, sshd, onVisitor, port);
  await connection.listen({ type: 'tcp', host: 'localhost', port: PORT });
  const [end] = ends;
  assert.ok(end);
  const { _protocol: protocol } = end.server as unknown as { readonly _protocol: ServerSide };
  const answer = protocol._handlers['REQUEST_FAILURE'];
  protocol._handlers['REQUEST_FAILURE'] = (...message) => {
    refused += 1;
    answer?.(...message);
  };
  protocol._handlers['GLOBAL_REQUEST'] = (_self, name, _wantReply, data) => {
    if (name === 'hostkeys-prove-00@openssh.com') proofs.push(data as Buffer);
  };
  let number = 1000;
  const send: Flooded['send'] = (...parts) => sendPayload(end.server, ...parts);
  return {
    protocol,
    send,
    burst: (count, last = () => {}) => {
      end.socket.cork();
      for (let from = 1; from <= count; from++)
        send(
          OPEN,
          'forwarded-tcpip',
          uint32(number++),
          uint32(0),
          uint32(32_768),
          'localhost',
          uint32(PORT),
          '192.0.2.1',
          uint32(from),
        );
      last();
      end.socket.uncork();
    },
    visitor: () =>
      new Promise((resolve, reject) => {
        end.server.forwardOut('localhost', PORT, '192.0.2.1', 1, (error, channel) => {
          if (error) reject(error);
          else resolve((channel as unknown as { readonly outgoing: { readonly id: number } }).outgoing.id);
        });
      }),
    lost: () => connection.lost.catch(asFailure),
    refused: () => refused,
    proofs: () => proofs,
  };
}

/** Of ssh2's Connection. */
interface ServerSide {
  readonly _handlers: Record<string, (...message: unknown[]) => unknown>;
  rekey(): void;
}
