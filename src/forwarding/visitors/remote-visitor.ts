import { errorCode, errorText } from '../../lib/text.ts';
import { dialForVisitor } from '../../net/dial-target.ts';
import { asFailure, type FailureCode, TunnelFailure } from '../../model/failure.ts';
import { permitsOpen } from './permit-open.ts';
import { proxyHeader } from './proxy-protocol.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';
import { negotiate } from './socks-handshake.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import type { Visitor } from '../../connection/ssh/connection.ts';
import { runVisit, type VisitOptions } from './visit.ts';
import type { DeviceSocket } from '../../net/streams/device-socket.ts';

/**
 * Serves one visitor of a listener on the server: dials the target, and only when that answers accepts the channel and joins the two.
 * Never rejects. `signal` is aborted when the SSH connection is lost.
 */
export async function serveVisitor(visitor: Visitor, options: VisitOptions, signal: AbortSignal): Promise<void> {
  const { target } = options.forward;
  if (target.type === 'socks') {
    await serveSocks(visitor, options, signal);
    return;
  }
  const names = { originator: visitor.originator, target: formatEndpoint(target) };
  let socket: DeviceSocket;
  try {
    socket = await dialForVisitor(target, options, options.clock, signal);
  } catch (error) {
    if (signal.aborted) return;
    visitor.reject();
    reject(error, names, options);
    options.onTarget(asFailure(error));
    return;
  }
  options.onSocket(socket);
  options.onTarget(null);
  if (visitor.hasLeft?.() === true) {
    resetSocket(socket);
    return;
  }
  const channel = visitor.accept();
  const header = proxyHeader(options.forward, visitor);
  if (header !== null) socket.write(header);
  await runVisit(channel, socket, 'channel', names, options, signal);
}

/** The visitor names the destination: one that does not answer says nothing of the forward. */
async function serveSocks(visitor: Visitor, options: VisitOptions, signal: AbortSignal): Promise<void> {
  const channel = visitor.accept();
  const { originator } = visitor;
  const wanted = await negotiate(channel, options.clock, signal).catch((error: unknown) => {
    if (!signal.aborted) reject(error, { originator, target: 'socks' }, options);
    return null;
  });
  if (wanted === null) return;
  const target = { type: 'tcp', host: wanted.host, port: wanted.port } as const;
  const names = { originator, target: formatEndpoint(target) };
  if (!permitsOpen(options.permitRemoteOpen, target)) {
    wanted.answer('forbidden');
    reject(new TunnelFailure('forward-refused', 'permitRemoteOpen does not allow it'), names, options);
    return;
  }
  try {
    const socket = await dialForVisitor(target, options, options.clock, signal);
    options.onSocket(socket);
    wanted.answer('granted');
    await runVisit(channel, socket, 'channel', names, options, signal);
  } catch (error) {
    if (signal.aborted) return;
    const refused = errorCode((error as Error).cause) === 'ECONNREFUSED';
    wanted.answer(refused ? 'refused' : 'unreachable');
    reject(error, names, options);
  }
}

function reject(
  error: unknown,
  names: { readonly originator: string; readonly target: string },
  { counters, visitLog }: VisitOptions,
): void {
  counters.refusedConnections += 1;
  const code: FailureCode = error instanceof TunnelFailure ? error.code : 'target-unreachable';
  visitLog.rejected({ ...names, code }, `visitor rejected: ${errorText(error)}`);
}
