import type { TunnelFailure } from '../model/failure.ts';
import type { VisitLog } from '../forwarding/visitors/visit-log.ts';
import type { ListenerAccess } from '../forwarding/listeners/suspendable-listeners.ts';
import type { Turn } from '../net/pacing/turns.ts';
import type { Dialled } from '../net/dial.ts';
import type { Device } from '../net/device.ts';
import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import type { Logger } from '../lib/log/log.ts';
import type { ConnectionPool } from '../connection/shared/connection-pool.ts';
import type { Member, Share } from '../connection/shared/shared-connection.ts';
import type { Clock } from '../lib/async/clock.ts';
import type { Remembered, TunnelDevice } from './remembered.ts';
import type { Store } from './store.ts';

export interface SessionDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly visitLog: VisitLog;
  readonly identities: IdentityCache;
  readonly device: Device;
  /** A TCP connection to the first machine on the way, and what is left of connectTimeout for the handshake. */
  reach(signal: AbortSignal): Promise<Dialled>;
  /** See RouteDeps. */
  beforeCommand?(command: string, signal: AbortSignal): Promise<Turn>;
  /** Resolves with a share of another tunnel's connection where the tunnel's own turn comes late; else never. */
  join(member: Member): Promise<Share>;
  /** Where its own connection is offered to others; null where it keeps to itself. */
  readonly connections: ConnectionPool | null;
  /** The connection that this session opened is over, which may be long after the session. */
  onOver(): void;
  readonly memory: Remembered;
  /** Which listeners this tunnel may hold. */
  readonly access: ListenerAccess;
  /** Resolves when other tunnels have let go of the listeners that this one needs. Called when all else is ready for them. */
  beforeListening(): Promise<void>;
  /** Aborted when those who are being served are not waited for any more: a session that is ended goes on for them until then. */
  readonly visitorsEnd: AbortSignal;
  /** What is to be said of the end of a session, which was without a channel for that long; null where it had one. */
  explainEnd(failure: TunnelFailure, idleMs: number | null): TunnelFailure;
  /** Says that this loop is alive and will say so again within the time. */
  heartbeat(withinMs: number): void;
  readonly store: Store;
}

/** What a tunnel's loop needs. */
export interface TunnelDeps extends Pick<
  SessionDeps,
  | 'clock'
  | 'random'
  | 'log'
  | 'identities'
  | 'access'
  | 'beforeListening'
  | 'visitorsEnd'
  | 'heartbeat'
  | 'connections'
  | 'store'
> {
  readonly device: TunnelDevice;
  /** True when one of the hint addresses answers a ping; null when there are none to ask. */
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** Registers what "try now" means at this moment: it ends the current wait, and says whether there was one. */
  onRetryNow(retryNow: () => boolean): void;
}
