import type { Socket } from 'node:net';
import { abortable, deferred } from '../../lib/async/abort.ts';
import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import { printable } from '../../lib/text.ts';
import type { Channel, SshConnection } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';
import { asFailure, type TunnelFailure } from '../../model/failure.ts';
import { formatEndpoint, type Endpoint } from '../../model/endpoint.ts';
import type { ForwardSpec } from '../../model/spec.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';
import { runVisit, type VisitOptions } from './visit.ts';
import { negotiate, type SocksRequest } from './socks-handshake.ts';

/**
 * Serves one visitor of a listener on this device: has the server open a connection to the target, and joins the two. Where the server
 * does not, the visitor gets a reset, or a SOCKS reply, at once. Never rejects.
 */
export async function serveLocalVisitor(
  socket: Socket,
  connection: SshConnection,
  options: VisitOptions,
  signal: AbortSignal,
): Promise<void> {
  options.onSocket(socket);
  const from = { address: socket.remoteAddress ?? '127.0.0.1', port: socket.remotePort ?? 0 };
  const originator =
    options.forward.listen.type === 'unix'
      ? 'a local process'
      : printable(formatEndpoint({ type: 'tcp', host: from.address, port: from.port }));
  socket.on('error', () => {});
  let { target } = options.forward;
  let wanted: SocksRequest | null = null;
  try {
    if (target.type === 'socks') {
      wanted = await negotiate(socket, options.clock, signal);
      target = { type: 'tcp', host: wanted.host, port: wanted.port };
    }
    const channel = await openFor(socket, target, connection, from, signal);
    if (channel === null) return;
    wanted?.answer('granted');
    if (wanted === null) options.onTarget(null);
    await runVisit(channel, socket, 'socket', { originator, target: formatEndpoint(target) }, options, signal);
  } catch (error) {
    if (signal.aborted) resetSocket(socket);
    else reject(socket, asFailure(error), { originator, target, wanted }, options);
  }
}

interface Request {
  readonly originator: string;
  readonly target: ForwardSpec['target'];
  readonly wanted: SocksRequest | null;
}

function reject(
  socket: Socket,
  failure: TunnelFailure,
  { originator, target, wanted }: Request,
  { counters, forward, visitLog, onTarget }: VisitOptions,
): void {
  counters.refusedConnections += 1;
  const about = target.type === 'socks' ? {} : { target: formatEndpoint(target), code: failure.code };
  visitLog.rejected({ originator, ...about }, `visitor rejected: ${failure.message}`);
  // A destination of a SOCKS client says nothing of the forward, unless the server forbids forwarding.
  if (target.type !== 'socks' && (wanted === null || failure.code === 'forward-refused')) onTarget(failure);
  if (wanted !== null) wanted.answer(failure.code === 'forward-refused' ? 'forbidden' : 'unreachable');
  else if (forward.target.type !== 'socks') resetSocket(socket);
}

/** Null when the visitor left meanwhile; the channel is then closed as soon as it opens. */
async function openFor(
  socket: Socket,
  target: Endpoint,
  connection: SshConnection,
  from: { readonly address: string; readonly port: number },
  signal: AbortSignal,
): Promise<Channel | null> {
  const left = deferred<null>();
  const onClose = () => left.resolve(null);
  socket.once('close', onClose);
  const close = (channel: Channel | null) => {
    if (channel !== null) discard(channel);
  };
  try {
    const open = (over: AbortSignal) => abortable(connection.open(target, from), over, discard);
    return await firstToEnd<Channel | null>(signal, [open, waitFor(left.promise)], close);
  } finally {
    socket.off('close', onClose);
  }
}
