import type { Socket } from 'node:net';
import { abortable } from '../../lib/async/abort.ts';
import { printable } from '../../lib/text.ts';
import { asFailure } from '../../model/failure.ts';
import { resetSocket } from '../../net/reset-socket.ts';
import { negotiate, type SocksRequest } from './socks-handshake.ts';
import { formatEndpoint, type Endpoint } from '../../model/spec.ts';
import type { Channel, SshConnection } from '../../connection/ssh/connection.ts';
import { runVisit, type VisitOptions } from './proxied-connection.ts';

/**
 * Serves one visitor of this device: has the server open a connection to the target, and joins the two. Where the server does not,
 * the visitor is told at once, by a reset or in the words of SOCKS. Never rejects.
 */
export async function serveLocalVisitor(
  socket: Socket,
  connection: SshConnection,
  options: VisitOptions,
  signal: AbortSignal,
): Promise<void> {
  const { counters, forward, clock } = options;
  options.onSocket(socket);
  const from = { address: socket.remoteAddress ?? '127.0.0.1', port: socket.remotePort ?? 0 };
  const originator =
    forward.listen.type === 'unix'
      ? 'a local process'
      : printable(formatEndpoint({ type: 'tcp', host: from.address, port: from.port }));
  socket.on('error', () => {});
  let target = forward.target;
  let wanted: SocksRequest | null = null;
  try {
    if (target.type === 'socks') {
      wanted = await negotiate(socket, clock, signal);
      target = { type: 'tcp', host: wanted.host, port: wanted.port };
    }
    const channel = await openFor(socket, target, connection, from, signal);
    if (channel === null) return;
    wanted?.answer('granted');
    if (wanted === null) options.onTarget(null);
    await runVisit(channel, socket, 'socket', { originator, target: formatEndpoint(target) }, options, signal);
  } catch (error) {
    if (signal.aborted) {
      resetSocket(socket);
      return;
    }
    counters.refusedConnections += 1;
    const failure = asFailure(error);
    const about = target.type === 'socks' ? {} : { target: formatEndpoint(target), code: failure.code };
    options.turnedAway({ originator, ...about }, `visitor turned away: ${failure.message}`);
    // What somebody asked of a proxy says nothing of the forward, except that the server allows none of it.
    if (target.type !== 'socks' && (wanted === null || failure.code === 'forward-refused')) options.onTarget(failure);
    if (wanted !== null) wanted.answer(failure.code === 'forward-refused' ? 'forbidden' : 'unreachable');
    else if (forward.target.type !== 'socks') resetSocket(socket);
  }
}

/** Null when the visitor left while the server was trying; the channel is then closed as soon as it is there. */
async function openFor(
  socket: Socket,
  target: Endpoint,
  connection: SshConnection,
  from: { readonly address: string; readonly port: number },
  signal: AbortSignal,
): Promise<Channel | null> {
  const opening = connection.open(target, from);
  let left = () => {};
  const gone = new Promise<null>((resolve) => {
    left = () => resolve(null);
    socket.once('close', left);
  });
  try {
    const channel = await abortable(Promise.race([opening, gone]), signal);
    if (channel === null) discard(opening);
    return channel;
  } catch (error) {
    discard(opening);
    throw error;
  } finally {
    socket.off('close', left);
  }
}

function discard(opening: Promise<Channel>): void {
  opening.then(
    (channel) => {
      channel.on('error', () => {});
      channel.resume();
      channel.close();
    },
    () => {},
  );
}
