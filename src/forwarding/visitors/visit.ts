import { onceAborted } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { IdleWatch } from './channel-timeout.ts';
import type { VisitLog } from './visit-log.ts';
import type { Device } from '../../net/device.ts';
import type { TunnelFailure } from '../../model/failure.ts';
import { splice } from './splice.ts';
import type { ForwardSpec, ServerSpec } from '../../model/spec.ts';
import type { Channel } from '../../connection/ssh/connection.ts';
import type { Counters, OpenConnection } from '../../model/state.ts';
import type { Transport } from '../../net/transport.ts';
import type { DeviceSocket } from '../../net/streams/device-socket.ts';

export interface VisitOptions {
  readonly forward: ForwardSpec;
  readonly counters: Counters;
  readonly open: Set<OpenConnection>;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly visitLog: VisitLog;
  readonly unacknowledged: Device['unacknowledged'];
  /** How a target is dialled. */
  readonly connectTimeoutMs: number;
  readonly addressFamily: ServerSpec['addressFamily'];
  /** Called with the visit's socket on this device, as soon as there is one. */
  onSocket(socket: DeviceSocket): void;
  /** For a SOCKS proxy at a listener of the server; see TunnelSpec. */
  readonly permitRemoteOpen: readonly string[] | null;
  /** Ends the connection when it is idle too long, or null. */
  readonly idle: IdleWatch | null;
  /** Called after every try: null when the target accepted. */
  onTarget(failure: TunnelFailure | null): void;
}

/** Both ends, safe to print. */
export interface Names {
  readonly originator: string;
  readonly target: string;
}

/** Joins a visitor and its target until both are closed; counts and logs it. `signal` is aborted when the SSH connection is lost. */
export async function runVisit(
  channel: Channel,
  socket: DeviceSocket,
  visitor: 'channel' | 'socket',
  names: Names,
  { counters, open, transport, clock, log, visitLog, idle, unacknowledged }: VisitOptions,
  signal: AbortSignal,
): Promise<void> {
  const { originator, target } = names;
  const visit: OpenConnection = { originator, target, since: clock.now(), bytesIn: 0, bytesOut: 0 };
  open.add(visit);
  counters.connections += 1;
  counters.totalConnections += 1;
  const logEnd = visitLog.opened({ originator, target });
  let overdue = '';
  const watched = idle?.watch((seconds) => {
    overdue = `idle for ${seconds} s (channelTimeout)`;
    joined.abort();
  });
  const joined = splice(channel, socket, {
    visitor,
    transport,
    clock,
    unacknowledged,
    count: (direction, bytes) => {
      watched?.active();
      if (direction === 'in') {
        visit.bytesIn += bytes;
        counters.bytesIn += bytes;
      } else {
        visit.bytesOut += bytes;
        counters.bytesOut += bytes;
      }
    },
  });
  const forgetAbort = onceAborted(signal, joined.abort);
  if (signal.aborted) joined.abort();
  const ended = await joined.ended;
  watched?.stop();
  const ending = overdue || ended;
  forgetAbort();
  open.delete(visit);
  counters.connections -= 1;
  if (ended === 'connection lost' && overdue === '') counters.cutConnections += 1;
  if (ending === 'a bug') log.error({ ...names, code: 'internal', error: joined.bug() }, 'a bug: a connection ended');
  const { since, bytesIn, bytesOut } = visit;
  const seconds = Math.round((clock.now() - since) / 100) / 10;
  logEnd({ bytesIn, bytesOut, seconds }, ending);
}
