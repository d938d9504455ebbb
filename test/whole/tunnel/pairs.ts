import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import type { ForwardSpec } from '../../../src/model/spec.ts';
import { listen } from '../../support/listen.ts';
import { freePort, tempDir } from '../../support/until.ts';
import { socks } from '../../support/socks-client.ts';

/** One kind of listener that leads to one kind of target. */
export interface Pair {
  readonly name: string;
  readonly forward: ForwardSpec;
  /** A visitor that has begun to talk with the target. */
  open(): Promise<Socket>;
}

/** Two targets, behind a TCP port and a Unix socket, that send without end once they have heard something. */
export interface Targets {
  /** Whether they reset whoever says something. */
  resets: boolean;
  open(): number;
  close(): Promise<void>;
}

/** Every pair of what can listen and what can be led to: TCP, Unix sockets and SOCKS, on the server and on this device. */
export async function everyPair(
  t: TestContext,
): Promise<{ readonly pairs: readonly Pair[]; readonly targets: Targets }> {
  const dir = await tempDir(t);
  const path = join(dir, 'target.sock');
  const { targets, port } = await startTargets(path);
  t.after(() => targets.close());
  const leadTo = { tcp: tcp(port), unix: { type: 'unix', path }, socks: { type: 'socks' } } as const;
  const pairs: Pair[] = [];
  for (const kind of ['remote', 'local', 'dynamic'] as const) {
    for (const from of ['tcp', 'unix'] as const) {
      for (const to of ['tcp', 'unix', 'socks'] as const) {
        if ((kind === 'dynamic') !== (to === 'socks') && kind !== 'remote') continue;
        const listenOn: Endpoint =
          from === 'tcp' ? tcp(await freePort()) : { type: 'unix', path: join(dir, `${kind}-${to}`) };
        const at = listenOn.type === 'tcp' ? listenOn.port : listenOn.path;
        pairs.push({
          name: `${kind} ${from} to ${to}`,
          forward: { kind, listen: listenOn, target: leadTo[to] },
          open: async () => {
            const socket = to === 'socks' ? await viaSocks(at, port) : await plain(at);
            socket.write('go');
            return socket;
          },
        });
      }
    }
  }
  return { pairs, targets };
}

function tcp(port: number): Extract<Endpoint, { type: 'tcp' }> {
  return { type: 'tcp', host: '127.0.0.1', port };
}

async function startTargets(path: string): Promise<{ readonly targets: Targets; readonly port: number }> {
  const sockets = new Set<Socket>();
  const serve = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    const pump = () => {
      while (!socket.destroyed && socket.write(BLOCK));
    };
    socket.once('data', () => {
      if (targets.resets) reset(socket);
      else socket.on('drain', pump);
      pump();
    });
  };
  const servers = [createServer(serve), createServer(serve)] as const;
  const port = await listen(servers[0]);
  await new Promise<void>((resolve) => servers[1].listen(path, resolve));
  const targets: Targets = {
    resets: false,
    open: () => sockets.size,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
  return { targets, port };
}

const BLOCK = Buffer.alloc(64 * 1024, 1);

async function plain(at: number | string): Promise<Socket> {
  const socket = connect(typeof at === 'string' ? { path: at } : { port: at, host: '127.0.0.1' });
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('connect', resolve).once('close', () => resolve()));
  return socket;
}

async function viaSocks(at: number | string, port: number): Promise<Socket> {
  const { code, socket } = await socks(at, 5, '127.0.0.1', port);
  if (code !== 0) socket.destroy();
  return socket;
}

/** A Unix socket that is closed with unread bytes is a reset for its peer. */
export function reset(socket: Socket): void {
  if (socket.remotePort === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
