import type { ConnectionPool } from '../connection/shared/connection-pool.ts';
import type { Member, Share } from '../connection/shared/shared-connection.ts';
import { deferred, type Deferred } from '../lib/async/abort.ts';
import type { Clock } from '../lib/async/clock.ts';

/** Waits, during one attempt to connect, for another tunnel's connection that could carry this one too. */
export interface ShareSeeker {
  /** Sets the earliest time of the tunnel's own turn, in the clock's milliseconds; null when it has come. */
  turnAt(at: number | null): void;
  /** Resolves with a share as soon as the tunnel's own turn is late and there is a connection to share; else never. */
  join(member: Member): Promise<Share>;
  /** The attempt is over. */
  end(): void;
}

/** `connections` is null for a tunnel that must not share, and none is joined before `notBefore`. */
export function seekShare(
  login: string,
  connections: ConnectionPool | null,
  clock: Clock,
  notBefore = Number.NEGATIVE_INFINITY,
): ShareSeeker {
  let turnAt: number | null = null;
  let wanted: { readonly member: Member; readonly share: Deferred<Share> } | null = null;
  let cancel = () => {};
  const joinIfLate = () => {
    cancel();
    const now = clock.now();
    if (connections === null || wanted === null || !isLate(turnAt, now)) return;
    if (now < notBefore) {
      cancel = clock.timer(notBefore - now, joinIfLate);
      return;
    }
    const share = connections.join(login, wanted.member);
    if (share === null) return;
    wanted.share.resolve(share);
    wanted = null;
  };
  const forget = connections?.onOffer(login, joinIfLate);
  return {
    turnAt: (at) => {
      turnAt = at;
      joinIfLate();
    },
    join: (member) => {
      const share = deferred<Share>();
      wanted = { member, share };
      joinIfLate();
      return share.promise;
    },
    end: () => {
      wanted = null;
      cancel();
      forget?.();
    },
  };
}

/**
 * Whether a turn is so late that sharing is better than waiting. Infinity is a turn after those of others, which is soon: no limit
 * delays it.
 */
export function isLate(turnAt: number | null, now: number): boolean {
  return turnAt !== null && Number.isFinite(turnAt) && turnAt - now > LATE_MS;
}

const LATE_MS = 2000;

/**
 * After so many shared connections in a row that ended soon after this tunnel had joined, it may be the cause: it shares none until a
 * connection of its own has lasted.
 */
export function mustNotShare(shortShares: number): boolean {
  return shortShares >= 2;
}

/**
 * When a tunnel may share again whose shared connection has just ended. Connections of a server that goes away end one after the other,
 * on a busy machine over a second: to join the next of them would only look as if this tunnel ended it.
 */
export function shareAgainAt(shared: boolean, endedAt: number): number {
  return shared ? endedAt + SETTLED_MS : Number.NEGATIVE_INFINITY;
}

const SETTLED_MS = 2000;

/** `shared` is whether the session was on another tunnel's connection, `heldForMs` for how long. */
export function countShortShares(before: number, shared: boolean, heldForMs: number): number {
  if (heldForMs >= LASTED_MS) return 0;
  return shared ? before + 1 : before;
}

const LASTED_MS = 60_000;
