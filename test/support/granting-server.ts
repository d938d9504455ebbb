import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { Connection, ServerChannel } from 'ssh2';
import type { TunnelSpec } from '../../src/model/spec.ts';
import type { TestSshd } from './sshd.ts';
import type { TestTunnel } from './tunnel.ts';
import { type FakeServer, startFakeSsh } from './fake-server.ts';
import { startAt } from './hostile.ts';

/** A tunnel, and the server in this process that grants it everything. */
export interface Granting {
  readonly tunnel: TestTunnel;
  readonly server: FakeServer & { readonly sockets: readonly Socket[] };
  /** The latest. */
  connection(): Connection;
}

/** A tunnel that is up at a server in this process, which grants every listener. */
export async function startGranting(
  t: TestContext,
  sshd: TestSshd,
  changes: Partial<TunnelSpec> = {},
  target: number | null = null,
  ident?: string,
  onTcpip: (accept: () => ServerChannel, reject: () => void) => void = (_accept, reject) => reject(),
): Promise<Granting> {
  const connections: Connection[] = [];
  const sockets: Socket[] = [];
  const server = await startFakeSsh(
    t,
    sshd,
    (connection, socket) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', (accept, _reject, name) => name === 'tcpip-forward' && accept?.());
      connection.on('tcpip', onTcpip);
      connections.push(connection);
      sockets.push(socket);
    },
    ident === undefined ? {} : { ident },
  );
  const tunnel = await startAt(t, sshd, server.port, changes, {}, target);
  await tunnel.untilPhase('up');
  return { tunnel, connection: () => connections.at(-1)!, server: { ...server, sockets } };
}
