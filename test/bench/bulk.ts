import { fork, type ChildProcess } from 'node:child_process';
import { connect, createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { listen } from '../support/listen.ts';
import type { Direction } from './throughput.ts';

/** Transfers without end, their visitor and their target in a process of their own, so that who measures beside them is not busy. */
export interface Bulk {
  /** The port of their target. */
  readonly target: number;
  /** Begins one through a forward, and resolves when it is well under way; the result ends it. */
  pour(port: number, direction: Direction): Promise<() => Promise<void>>;
  end(): void;
}

type Order = { readonly port: number; readonly direction: Direction } | 'stop';

const FILE = fileURLToPath(import.meta.url);
const CHUNK = Buffer.alloc(256 * 1024, 7);
/** After as much a transfer is well under way. */
const WARM_BYTES = 32 * 1024 * 1024;

export async function startBulk(): Promise<Bulk> {
  const child = fork(FILE, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const target = (await answerOf(child)) as number;
  const order = async (what: Order) => {
    child.send(what);
    await answerOf(child);
  };
  return {
    target,
    pour: async (port, direction) => {
      await order({ port, direction });
      return () => order('stop');
    },
    end: () => child.kill(),
  };
}

function answerOf(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('the process of the transfers ended'));
    child.once('exit', onExit);
    child.once('message', (answer) => {
      child.off('exit', onExit);
      resolve(answer);
    });
  });
}

if (process.argv[1] === FILE) await serve();

async function serve(): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (first) => {
      if (first[0] === D) pourInto(socket);
      else readFrom(socket);
    });
  });
  let visitor: Socket | null = null;
  process.on('message', (order: Order) => {
    if (order === 'stop') {
      visitor?.destroy();
      visitor?.once('close', () => process.send?.('stopped'));
      return;
    }
    visitor = connect(order.port, '127.0.0.1');
    visitor.on('error', () => {});
    const send = order.direction === 'to target';
    visitor.write(send ? 'u' : 'd');
    if (send) pourInto(visitor);
    else readFrom(visitor);
  });
  process.on('disconnect', () => process.exit());
  process.send?.(await listen(server));
}

const D = 'd'.charCodeAt(0);

function pourInto(socket: Socket): void {
  const pump = () => {
    while (!socket.destroyed && socket.write(CHUNK));
  };
  socket.on('drain', pump);
  pump();
}

/** Says once that much has come. */
function readFrom(socket: Socket): void {
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    if (bytes < WARM_BYTES && bytes + chunk.length >= WARM_BYTES) process.send?.('warm');
    bytes += chunk.length;
  });
}
