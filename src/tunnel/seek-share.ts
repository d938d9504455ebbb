import type { ConnectionPool, JoinedShare } from '../connection/shared/connection-pool.ts';
import type { Member } from '../connection/shared/shared-connection.ts';
import { deferred, type Deferred } from '../lib/async/abort.ts';
import type { Clock } from '../lib/async/clock.ts';

export type ShareSeeker = ReturnType<typeof seekShare>;

/** What is known of the tunnel's shares of other tunnels' connections. */
export interface ShareHistory {
  /** See learnShort(). */
  readonly shortShares: readonly ShortShare[];
  /** See shareAgainAt(). */
  readonly shareAfter: number;
}

/**
 * Waits, during one attempt to connect, for another tunnel's connection that could carry this one too. `connections` is null where there
 * is none to share.
 */
export function seekShare(
  login: string,
  connections: ConnectionPool | null,
  clock: Clock,
  { shortShares, shareAfter }: ShareHistory,
) {
  let turnAt: number | null = null;
  let wanted: { readonly member: Member; readonly share: Deferred<JoinedShare> } | null = null;
  let cancel = () => {};
  const joinIfLate = () => {
    cancel();
    const now = clock.now();
    if (connections === null || wanted === null || !isLate(turnAt, now)) return;
    if (now < shareAfter) {
      cancel = clock.timer(shareAfter - now, joinIfLate);
      return;
    }
    if (mustNotShare(shortShares)) return;
    const share = connections.join(login, wanted.member);
    if (share === null) return;
    wanted.share.resolve(share);
    wanted = null;
  };
  const forget = connections?.onOffer(login, joinIfLate);
  return {
    /** Sets the earliest time of the tunnel's own turn, in the clock's milliseconds; null when it has come. */
    turnAt: (at: number | null): void => {
      turnAt = at;
      joinIfLate();
    },
    /** Resolves with a share as soon as the tunnel's own turn is late and there is a connection to share; else never. */
    join: (member: Member): Promise<JoinedShare> => {
      const share = deferred<JoinedShare>();
      wanted = { member, share };
      joinIfLate();
      return share.promise;
    },
    /** The attempt is over. */
    end: (): void => {
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

/** A shared connection that ended soon after this tunnel had joined; whether it ended alone is known a little later. */
export type ShortShare = () => boolean;

/**
 * After two shared connections in a row that ended soon after this tunnel had joined, while others of the same login went on, it may be
 * the cause: it shares none until a connection of its own has lasted.
 */
export function mustNotShare(shortShares: readonly ShortShare[]): boolean {
  return shortShares.filter((endedAlone) => endedAlone()).length >= 2;
}

/**
 * When a tunnel may share again whose shared connection has just ended. Connections of a server that goes away end one after the other,
 * on a busy machine over a second: the next of them is as good as dead, and whether this one ended alone is known only then.
 */
export function shareAgainAt(shared: boolean, endedAt: number): number {
  return shared ? endedAt + SETTLED_MS : Number.NEGATIVE_INFINITY;
}

const SETTLED_MS = 2000;

/** `joined` is the share of another tunnel's connection on which the session was, `heldForMs` for how long it lasted until `now`. */
export function learnShort(
  before: readonly ShortShare[],
  joined: Pick<JoinedShare, 'endedAlone'> | null,
  heldForMs: number,
  now: number,
): readonly ShortShare[] {
  if (heldForMs >= SHARE_LASTED_MS) return [];
  if (joined === null) return before;
  const alone = before.filter((endedAlone) => endedAlone()).slice(-2);
  // The tunnel may have seen the end of a connection a little before the connection itself.
  return [...alone, () => joined.endedAlone(now + SETTLED_MS)];
}

const SHARE_LASTED_MS = 60_000;
