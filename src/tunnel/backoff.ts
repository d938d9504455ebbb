import { type FailureCode, TunnelFailure } from '../model/failure.ts';
import type { PaceRequest } from '../net/pacing/types.ts';

/** How long to wait before the next attempt, in milliseconds. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * After a failure that cost the server next to nothing (refused, unreachable, no name): every second, so that an outage is over
 * a second after its end, and after ten minutes every two, or as seldom as `minMs` wants it.
 */
export function cheapDelay(downMs: number, minMs: number, random: () => number): number {
  const delay = Math.max(downMs < 600_000 ? 1000 : 2000, minMs);
  return Math.round(delay * (0.75 + 0.5 * random()));
}

/** The limits of the waits after attempts that got as far as a login, drawn once for each series so that many devices spread out. */
export function loginBackoff(backoff: Backoff, random: () => number): Backoff {
  return {
    minMs: Math.round(backoff.minMs * (1 + random())),
    maxMs: Math.round(backoff.maxMs * (0.8 + 0.2 * random())),
  };
}

/** Twice as long each time; `grown` is how many there were before in this series. */
export function loginDelay({ minMs, maxMs }: Backoff, grown: number): number {
  return Math.min(minMs * 2 ** grown, maxMs);
}

/**
 * While a person must act: slowly, because every rejected login counts with fail2ban and sshd's PerSourcePenalties. What was up before
 * is tried again soon at first, because a server that has just started may not have its users' homes yet; `rejections` counts
 * those since then, and is 0 for a tunnel that never was up.
 */
export function blockedDelay(code: string, rejections: number, backoff: Backoff, random: () => number): number {
  const soon = code === 'auth-rejected' ? SOON_MS[rejections - 1] : undefined;
  const base = soon ?? Math.max(code === 'auth-rejected' ? 300_000 : 60_000, backoff.maxMs);
  return Math.round(base * (0.9 + 0.2 * random()));
}

const SOON_MS: readonly number[] = [20_000, 60_000];

/** So often what was up before is tried again soon. */
const QUICK_REJECTIONS = SOON_MS.length;

/** After a connection that had lasted: at once, but not all devices in the same instant. */
export function reconnectDelay(random: () => number): number {
  return Math.round(30 + 100 * random());
}

/** What ends before a login costs the server anything. */
const CHEAP: readonly FailureCode[] = [
  'network-down',
  'dns-failed',
  'connect-refused',
  'connect-timeout',
  'unreachable',
];

/** Also where a proxy could not be reached. */
export function isCheap({ code, cause }: TunnelFailure): boolean {
  return (
    CHEAP.includes(code) || (code === 'proxy-failed' && cause instanceof TunnelFailure && CHEAP.includes(cause.code))
  );
}

/** See Claim. What was up before but is rejected is no better than what is new, and again and again no better than what never was. */
export function loginHistoryOf(rejections: number, wasUp: boolean): PaceRequest['loginHistory'] {
  if (rejections > (wasUp ? QUICK_REJECTIONS : 0)) return 'rejected';
  return wasUp && rejections === 0 ? 'proven' : 'new';
}
