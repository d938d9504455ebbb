import type { ConnectLimit } from '../../model/spec.ts';
/**
 * How fast one server may be dialled, as a pure machine: connections are what a firewall counts, logins are what sshd and fail2ban
 * count. It knows of the server's limits only what its own connections show.
 *
 *   unknown ── a sixth connection within half a minute is let in ──→ none
 *      └────── refused, or unanswered, right after others were let in ──→ suspected ── once more, or it says so ──→ known
 *                                     what it was before ◀── all of those end ──┘
 *
 * - ufw's `limit` rejects a source with six new connections in 30 seconds, and counts a rejected one twice (iptables-extensions(8),
 *   recent: `--set`, then `--update --seconds 30 --hitcount 6`). Two in 30 seconds get out of that again, four do not.
 * - sshd drops connections at random from the tenth on that is not logged in (sshd_config(5), MaxStartups 10:30:100), and forks for
 *   each. So few are under way at a time: one more for each login that succeeds, half as many after a drop.
 * - fail2ban bans a source at the fifth failed login in ten minutes.
 * - sshd 9.8 shuts a source out as soon as it holds 15 seconds against it: 5 for a failed login, 1 for a connection without one, 10 for
 *   one that came to LoginGraceTime (sshd_config(5), PerSourcePenalties).
 */
export interface Pace {
  /** When the connections began that a firewall may have counted, oldest first. */
  readonly begun: readonly number[];
  /** Connections under way that are not logged in. */
  readonly pending: number;
  /** Connections that are logged in. */
  readonly established: number;
  /** How many may be under way at a time. */
  readonly width: number;
  /** A probe is under way; it delays no login. */
  readonly probing: boolean;
  /** Failures in a row, without an answer from sshd in between. */
  readonly refused: number;
  readonly dropped: number;
  /** When the last drop was met: what was under way then and is dropped as well says nothing new. */
  readonly droppedAt: number;
  /** Nothing begins before this. */
  readonly quietUntil: number;
  /** Nothing begins before this, unless a user asks for it or the network has changed. */
  readonly retryAt: number;
  readonly limit: Limit;
  /**
   * What was believed before a failure looked like a limit because connections were there; else null. A limit lets them live: if the
   * last of them ends soon, it was the server that went.
   */
  readonly limitBefore: Limit | null;
  /** Failed logins of the last ten minutes, oldest first. */
  readonly rejected: readonly number[];
  /**
   * The history of the tunnels whose logins were rejected since the last success: `proven` where one of them was; null
   * for none.
   */
  readonly lastRejected: 'proven' | 'new' | null;
  /** How long sshd's penalty for our failures lasts. */
  readonly penaltyUntil: number;
}

/** What is believed of a limit on new connections, and since when it shows itself; a known one is forgotten after a day. */
type Limit =
  | { readonly type: 'unknown' | 'none' }
  | { readonly type: 'suspected'; readonly since: number }
  | { readonly type: 'known'; readonly since: number; readonly until: number };

/** The purpose and the urgency of a connection, for its pace. */
export interface PaceRequest {
  /** `probe` only sees whether the server answers, and closes. */
  readonly purpose: 'login' | 'probe';
  /** `proven` was up before, `rejected` never was and its last login failed. */
  readonly loginHistory: 'proven' | 'new' | 'rejected';
  /** A user asks for it, or the network has changed. */
  readonly urgent: boolean;
  /** The configured limit of the server, or null. */
  readonly limit: ConnectLimit | null;
}
