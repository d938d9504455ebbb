import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import ssh2, { type Connection, type ServerConfig } from '#ssh2';
import { listen } from './listen.ts';
import type { TestSshd } from './sshd.ts';

/** A server on loopback for one test. */
export interface FakeServer {
  readonly port: number;
  /** Connections so far, and those that are open still. */
  accepted(): number;
  open(): number;
}

/** A TCP server that does with each connection what the test says, and forgets what comes in where the test does not read it. */
export function startFakeServer(t: TestContext, serve: (socket: Socket) => void): Promise<FakeServer> {
  return startServer(t, (socket) => {
    serve(socket);
    socket.resume();
  });
}

async function startServer(t: TestContext, serve: (socket: Socket) => void): Promise<FakeServer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('error', () => {}); // the client may reset at any time
    socket.once('close', () => sockets.delete(socket));
    socket.once('end', () => untilReset(socket));
    serve(socket);
  });
  const port = await listen(server);
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port, accepted: () => accepted, open: () => sockets.size };
}

/** After the end of what a client sends, only a write finds out that it is gone altogether. */
function untilReset(socket: Socket): void {
  const knock = setInterval(() => socket.write('x'), 20);
  socket.once('close', () => clearInterval(knock));
}

/** An SSH server in this process that shows the host key of `sshd`, lets everybody in unless told otherwise, and grants nothing. */
export function startFakeSsh(
  t: TestContext,
  sshd: TestSshd,
  serve: (connection: Connection, socket: Socket) => void,
  config: Partial<ServerConfig> = {},
): Promise<FakeServer> {
  const file = sshd.hostKeys[0]?.file ?? '';
  const server = new ssh2.Server({ hostKeys: [readFileSync(file)], ...config });
  let current: Socket | null = null;
  server.on('connection', (connection) => {
    connection.on('error', () => {}); // so may its end
    if (current !== null) serve(connection, current);
  });
  return startServer(t, (socket) => {
    current = socket;
    server.injectSocket(socket);
  });
}

/** An SSH server that takes no login, and remembers the passwords that it was sent. */
export async function startPasswordServer(
  t: TestContext,
  sshd: TestSshd,
): Promise<FakeServer & { passwords(): readonly string[] }> {
  const passwords: string[] = [];
  const server = await startFakeSsh(t, sshd, (connection) =>
    connection.on('authentication', (attempt) => {
      if (attempt.method === 'password') passwords.push(attempt.password);
      attempt.reject(['password']);
    }),
  );
  return { ...server, passwords: () => passwords };
}

/** Sends a packet whose payload the test made (RFC 4253 section 6), in whatever state the connection is. */
export function sendPayload(connection: Connection, ...parts: readonly (number | string | Buffer)[]): void {
  const { _protocol: protocol } = connection as unknown as { readonly _protocol: Protocol };
  const payload = Buffer.concat(parts.map(encode));
  const { write } = protocol._packetRW;
  // Also in the middle of an exchange of keys, when what ssh2 itself sends is kept.
  const packet = write.alloc(payload.length, true);
  payload.copy(packet, write.allocStartKEX);
  protocol._cipher.encrypt(write.finalize(packet, true));
}

/** A number is a byte, a string an SSH string; a buffer stands as it is. */
function encode(part: number | string | Buffer): Buffer {
  if (typeof part === 'number') return Buffer.from([part]);
  if (typeof part !== 'string') return part;
  return Buffer.concat([uint32(Buffer.byteLength(part)), Buffer.from(part)]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The parts of ssh2's Protocol that make a packet. */
interface Protocol {
  readonly _packetRW: {
    readonly write: {
      readonly allocStartKEX: number;
      alloc(length: number, now: true): Buffer;
      finalize(packet: Buffer, now: true): Buffer;
    };
  };
  readonly _cipher: { encrypt(packet: Buffer): void };
}
