import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { deferred, type Deferred } from '../../src/lib/async/abort.ts';
import { listen } from './listen.ts';

/** A TCP relay on loopback that can be made as bad as a real network. Every change concerns open and new connections alike. */
export interface Relay {
  readonly port: number;
  /**
   * A black hole: sockets stay open and nothing comes through, not even the end of a connection. New connections are
   * accepted (the kernel does it) and hear nothing. As with TCP, what was sent meanwhile arrives after `heal()`.
   */
  drop(): void;
  heal(): void;
  /** Resets every open connection, on both sides. */
  cut(): void;
  /** One-way latency of each direction, in milliseconds. */
  delay(ms: number): void;
  /** Bandwidth of each direction of each connection, or null for no limit. */
  rate(bytesPerSecond: number | null): void;
  /** From now on new connections are refused (ECONNREFUSED); open ones go on. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
  /** Connections accepted so far, and those still open. */
  accepted(): number;
  open(): number;
  /** Bytes delivered from the client to the target, and back. */
  bytesUp(): number;
  bytesDown(): number;
  close(): Promise<void>;
}

export interface RelayTarget {
  readonly port: number;
  readonly host?: string;
}

export async function startRelay(target: RelayTarget): Promise<Relay> {
  const line: Line = { delayMs: 0, bytesPerSecond: null, open: Promise.resolve() };
  const sockets = new Set<Socket>();
  const bytes = { up: 0, down: 0 };
  let accepted = 0;
  let server: Server | null = null;
  let hole: Deferred<void> | null = null;

  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {}); // told to the other side when it closes
    socket.once('close', () => sockets.delete(socket));
    return socket;
  };
  const serve = async (client: Socket) => {
    accepted++;
    track(client);
    await line.open;
    if (client.destroyed) return;
    const upstream = track(connect({ host: target.host ?? '127.0.0.1', port: target.port, allowHalfOpen: true }));
    void pump(client, upstream, line, (count) => (bytes.up += count));
    void pump(upstream, client, line, (count) => (bytes.down += count));
  };
  const open = (port?: number) => {
    server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => void serve(client));
    return listen(server, '127.0.0.1', port);
  };
  const port = await open();

  const relay: Relay = {
    port,
    drop: () => {
      if (hole !== null) return;
      hole = deferred<void>();
      line.open = hole.promise;
    },
    heal: () => {
      hole?.resolve();
      hole = null;
    },
    cut: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    delay: (ms) => {
      line.delayMs = ms;
    },
    rate: (bytesPerSecond) => {
      line.bytesPerSecond = bytesPerSecond;
    },
    refuse: async () => {
      server?.close(); // its callback waits for open connections; the port is closed at once
      server = null;
    },
    accept: async () => {
      if (server === null) await open(port);
    },
    accepted: () => accepted,
    open: () => sockets.size,
    bytesUp: () => bytes.up,
    bytesDown: () => bytes.down,
    close: async () => {
      server?.close();
      relay.heal();
      for (const socket of sockets) socket.destroy();
    },
  };
  return relay;
}

/** What every connection of a relay suffers at the moment. */
interface Line {
  delayMs: number;
  bytesPerSecond: number | null;
  /** Settles when nothing is swallowed any more. */
  open: Promise<void>;
}

/** What a direction holds at most between reading and writing: enough for 1 MB/s at 250 ms. */
const QUEUE_BYTES = 256 * 1024;

/** A slow line delivers this many small pieces a second rather than large ones rarely. */
const PIECES_PER_SECOND = 50;

/** Carries one direction: the reader stamps each chunk with the time when it is due, the writer keeps to it. */
async function pump(from: Socket, to: Socket, line: Line, count: (bytes: number) => void): Promise<void> {
  const queue: { chunk: Buffer; at: number }[] = [];
  let queued = 0;
  let ended = false;
  let wake: (() => void) | undefined;
  from.on('data', (chunk: Buffer) => {
    queue.push({ chunk, at: performance.now() + line.delayMs });
    queued += chunk.length;
    if (queued >= QUEUE_BYTES) from.pause();
    wake?.();
  });
  from.once('end', () => {
    ended = true;
    wake?.();
  });
  from.once('close', (hadError) => {
    if (hadError || !ended) void line.open.then(() => to.resetAndDestroy());
    wake?.();
  });
  from.resume();

  let lineFreeAt = 0;
  while (!to.destroyed) {
    const head = queue.shift();
    if (head === undefined) {
      if (ended || from.destroyed) break;
      await new Promise<void>((resolve) => (wake = resolve));
      continue;
    }
    await waitUntil(head.at);
    let rest = head.chunk;
    while (rest.length > 0) {
      await line.open;
      const size = line.bytesPerSecond === null ? rest.length : Math.ceil(line.bytesPerSecond / PIECES_PER_SECOND);
      const piece = rest.subarray(0, size);
      rest = rest.subarray(size);
      if (line.bytesPerSecond !== null) {
        lineFreeAt = Math.max(lineFreeAt, performance.now()) + (piece.length / line.bytesPerSecond) * 1000;
        await waitUntil(lineFreeAt);
      }
      if (to.destroyed) return;
      count(piece.length);
      if (!to.write(piece)) await drained(to);
    }
    queued -= head.chunk.length;
    if (queued < QUEUE_BYTES) from.resume();
  }
  await line.open;
  if (ended) to.end();
}

/** Never early: setTimeout cuts off fractions and may fire a little too soon. */
async function waitUntil(time: number): Promise<void> {
  for (let ms = time - performance.now(); ms > 0; ms = time - performance.now()) await wait(Math.ceil(ms));
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}
