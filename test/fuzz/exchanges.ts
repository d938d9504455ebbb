import { PassThrough, Duplex, Transform } from 'node:stream';
import ssh2, { type Connection } from '#ssh2';
import { newKeyPair } from '../../src/demo/key-pair.ts';
import { connectSsh } from '../../src/connection/ssh2/connect.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { createTransport } from '../../src/net/transport.ts';
import { adaptStreams } from '../../src/net/streams/stream-adapter.ts';
import { answerHybrid } from '../support/hybrid-server.ts';
import { plainSpec } from '../support/tunnel.ts';
import type { Dice } from './messages.ts';
import { mutated } from './mutate.ts';

/** What came of one key exchange: whether the server was believed, and how it ended otherwise. */
export interface ExchangeResult {
  readonly accepted: boolean;
  readonly ending: string;
}

/** Exchanges keys with a server in this process, over streams in memory, whose reply the dice change. */
export interface Exchanger {
  exchange(dice: Dice, change: boolean): Promise<ExchangeResult>;
}

const KEY_EXCHANGES = [
  'curve25519-sha256',
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp521',
] as const;

/** Slow ones, once in so many times. */
const SLOW = ['mlkem768x25519-sha256', 'sntrup761x25519-sha512', 'diffie-hellman-group14-sha256'] as const;
const SLOW_EVERY = 0.01;

export function createExchanger(): Exchanger {
  const hostKeys = [
    newKeyPair(),
    ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }),
    ssh2.utils.generateKeyPairSync('rsa', { bits: 2048 }),
  ].map((pair) => pair.private);
  const servers = new Map<string, ssh2.Server>();
  const serverOf = (kex: string) => {
    const server = servers.get(kex) ?? startServer(hostKeys, kex);
    servers.set(kex, server);
    return server;
  };
  /** Replies of before: a server that sends one again, or a part of it. */
  const replies: Buffer[] = [];
  return {
    exchange: async (dice, change) => {
      const kex = dice.chance(SLOW_EVERY) ? dice.pick(SLOW) : dice.pick(KEY_EXCHANGES);
      const toServer = new PassThrough();
      const toClient = replyChanger((reply) => {
        const changed = change ? mutated(dice, reply, replies) : reply;
        if (replies.length < 50) replies.push(reply);
        return changed;
      });
      serverOf(kex).injectSocket(Duplex.from({ readable: toServer, writable: toClient }) as never);
      const stream = adaptStreams({
        readable: toClient,
        writable: toServer,
        close: () => {
          toClient.destroy();
          toServer.destroy();
        },
      });
      const hostKey = dice.pick(['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256']);
      return await handshake(stream, hostKey, kex);
    },
  };
}

function startServer(hostKeys: string[], kex: string): ssh2.Server {
  const server = new ssh2.Server({ hostKeys, algorithms: { kex: [kex as never] } });
  return server.on('connection', (connection: Connection) => {
    connection.on('error', () => {});
    answerHybrid(connection);
  });
}

async function handshake(
  stream: ReturnType<typeof adaptStreams>,
  hostKey: string,
  kex: string,
): Promise<ExchangeResult> {
  const over = new AbortController();
  let accepted = false;
  const failed = await connectSsh(
    {
      spec: { ...plainSpec(), hostKeyAlgorithms: [hostKey], kexAlgorithms: [kex] },
      stream,
      transport: createTransport(stream, { addresses: null, direct: false }, systemClock),
      hostKeys: { knownKeyTypes: [], certified: false, certificate: () => null, learn: async () => {} },
      // Any key: it is the signature that has to stop what is changed.
      verifyHostKey: () => null,
      authentication: { handler: () => over.abort(new Error('over')), hearSignatures: () => {} },
      describeAuth: () => '',
      handshakeTimeoutMs: 20_000,
      authTimeoutMs: 20_000,
      clock: systemClock,
      explainStall: (failure) => failure,
      onAuthenticating: () => {
        accepted = true;
        over.abort(new Error('over'));
      },
      onVisitor: () => {},
      onTooManyHostKeys: () => {},
      onBanner: () => {},
    },
    over.signal,
  ).then(
    () => new Error('logged in'),
    (error: Error) => error,
  );
  return { accepted, ending: failed.message };
}

/** A stream from a server to a client in which its reply of the key exchange is changed (RFC 4253 sections 4.2, 6 and 8). */
function replyChanger(change: (reply: Buffer) => Buffer): Transform {
  let kept = Buffer.alloc(0);
  let state: 'identification' | 'packets' | 'over' = 'identification';
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (state === 'over') return done(null, chunk);
      kept = Buffer.concat([kept, chunk]);
      const sent: Buffer[] = [];
      if (state === 'identification') {
        const end = kept.indexOf('\n') + 1;
        if (end === 0) return done();
        sent.push(kept.subarray(0, end));
        kept = kept.subarray(end);
        state = 'packets';
      }
      while (kept.length >= 5 && kept.length >= 4 + kept.readUInt32BE(0)) {
        const end = 4 + kept.readUInt32BE(0);
        const payload = kept.subarray(5, end - kept[4]!);
        const isReply = payload[0] === KEXDH_REPLY;
        sent.push(isReply ? packet(change(Buffer.from(payload))) : kept.subarray(0, end));
        kept = kept.subarray(end);
        if (!isReply) continue;
        state = 'over';
        sent.push(kept);
        break;
      }
      done(null, Buffer.concat(sent));
    },
  });
}

const KEXDH_REPLY = 31;

function packet(payload: Buffer): Buffer {
  const padding = 8 - ((payload.length + 5) % 8) + ((payload.length + 5) % 8 > 4 ? 8 : 0);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length + padding + 1);
  head[4] = padding;
  return Buffer.concat([head, payload, Buffer.alloc(padding)]);
}
