import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import type { ConnectionPool } from '../connection/shared/connection-pool.ts';
import type { ListenerAccess } from '../forwarding/listeners/suspendable-listeners.ts';
import type { Environment } from '../lib/log/environment.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { TunnelDevice, TunnelMemory } from './remembered.ts';
import type { Store } from './store.ts';

/** What a tunnel's loop needs. */
export interface TunnelDeps extends Environment {
  readonly store: Store;
  readonly device: TunnelDevice;
  readonly identities: IdentityCache;
  /** The connections that tunnels with the same login may share; null where this one must not. */
  readonly connections: ConnectionPool | null;
  readonly listeners: ListenerAccess;
  /** Aborted when visitors are not waited for any more: until then a session that is ended serves those that are there. */
  readonly visitorsEnd: AbortSignal;
  /** Resolves with whether one of the hint addresses answers a ping; null when there are none. */
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** Reports that the loop is alive and will report again within the time. */
  heartbeat(withinMs: number): void;
  /** Registers how "retry now" ends the present wait; it answers whether there was one. */
  onRetryNow(retryNow: () => boolean): void;
}

/** What a session needs of its tunnel, beside a connection. */
export interface SessionTunnel {
  readonly spec: TunnelSpec;
  readonly deps: Environment & Pick<TunnelDeps, 'store' | 'device' | 'listeners' | 'visitorsEnd'>;
  readonly memory: TunnelMemory;
}
