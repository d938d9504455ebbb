import type { ConnectionPool } from '../connection/shared/connection-pool.ts';
import type { Member, Share } from '../connection/shared/shared-connection.ts';
import { deferred, type Deferred } from '../lib/async/abort.ts';
import type { Clock } from '../lib/async/clock.ts';

/** Looks out, during one attempt to connect, for another tunnel's connection that could carry this one too. */
export interface ShareSeeker {
  /** When the tunnel's own turn comes at the earliest, in the clock's milliseconds; null when it has come. */
  turnAt(at: number | null): void;
  /** Resolves with a share as soon as the own turn is known to come late and there is a connection to share; else never. */
  join(member: Member): Promise<Share>;
  /** The attempt is over. */
  end(): void;
}

/** `connections` is null for a tunnel that keeps to itself. */
export function seekShare(login: string, connections: ConnectionPool | null, clock: Clock): ShareSeeker {
  let turnAt: number | null = null;
  let wanted: { readonly member: Member; readonly share: Deferred<Share> } | null = null;
  const look = () => {
    if (connections === null || wanted === null || !isLate(turnAt, clock.now())) return;
    const share = connections.join(login, wanted.member);
    if (share === null) return;
    wanted.share.resolve(share);
    wanted = null;
  };
  const forget = connections?.onOffer(login, look);
  return {
    turnAt: (at) => {
      turnAt = at;
      look();
    },
    join: (member) => {
      const share = deferred<Share>();
      wanted = { member, share };
      look();
      return share.promise;
    },
    end: () => {
      wanted = null;
      forget?.();
    },
  };
}

/**
 * Whether a turn comes so late that to share is better than to wait. Infinity is a turn that comes when others have had theirs, which
 * is soon: no limit holds it up.
 */
export function isLate(turnAt: number | null, now: number): boolean {
  return turnAt !== null && Number.isFinite(turnAt) && turnAt - now > LATE_MS;
}

const LATE_MS = 2000;

/**
 * After so many shared connections in a row that ended soon after this tunnel had come aboard, it may be the reason for that: it takes
 * no others along any more until a connection of its own has lasted.
 */
export function mustNotShare(shortShares: number): boolean {
  return shortShares >= 2;
}

/** `shared` is whether the session was on another tunnel's connection, which it was logged in to for so long. */
export function countShortShares(before: number, shared: boolean, heldForMs: number): number {
  if (heldForMs >= LASTED_MS) return 0;
  return shared ? before + 1 : before;
}

const LASTED_MS = 60_000;
