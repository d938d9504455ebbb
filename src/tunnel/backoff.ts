import { type FailureCode, TunnelFailure } from '../model/failure.ts';
import type { PaceRequest } from '../net/pacing/types.ts';

/** Limits of the wait before the next attempt, in milliseconds. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * After a failure that costs the server next to nothing (refused, unreachable, no name): one second, so that the tunnel is up a second
 * after the end of an outage; after ten minutes two; never less than `minMs`.
 */
export function cheapDelay(downMs: number, minMs: number, random: () => number): number {
  const delay = Math.max(downMs < 600_000 ? 1000 : 2000, minMs);
  return Math.round(delay * (0.75 + 0.5 * random()));
}

/** The limits of the waits after attempts that reached a login, drawn once for each series so that many devices spread out. */
export function loginBackoff(backoff: Backoff, random: () => number): Backoff {
  return {
    minMs: Math.round(backoff.minMs * (1 + random())),
    maxMs: Math.round(backoff.maxMs * (0.8 + 0.2 * random())),
  };
}

/** Twice as long each time; `grown` is the number of such waits before in this series. */
export function loginDelay({ minMs, maxMs }: Backoff, grown: number): number {
  return Math.min(minMs * 2 ** grown, maxMs);
}

/**
 * While a person must act: long, because every rejected login counts with fail2ban and sshd's PerSourcePenalties. A tunnel that was up
 * before tries again soon at first, because a server that has just started may not have its users' homes yet; `rejections` counts the
 * logins since then, and is 0 for a tunnel that never was up.
 */
export function blockedDelay(code: string, rejections: number, backoff: Backoff, random: () => number): number {
  const soon = code === 'auth-rejected' ? SOON_MS[rejections - 1] : undefined;
  const base = soon ?? Math.max(code === 'auth-rejected' ? 300_000 : 60_000, backoff.maxMs);
  return Math.round(base * (0.9 + 0.2 * random()));
}

const SOON_MS: readonly number[] = [20_000, 60_000];

/** So many rejections of a tunnel that was up before are followed by a short wait. */
const QUICK_REJECTIONS = SOON_MS.length;

/** After a connection that had lasted: at once, but spread over all devices. */
export function reconnectDelay(random: () => number): number {
  return Math.round(30 + 100 * random());
}

/** Failures before a login could cost the server anything. */
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

/** See PaceRequest. A rejected tunnel that was up before counts as new, and after more rejections as one that never was up. */
export function loginHistoryOf(rejections: number, wasUp: boolean): PaceRequest['loginHistory'] {
  if (rejections > (wasUp ? QUICK_REJECTIONS : 0)) return 'rejected';
  return wasUp && rejections === 0 ? 'proven' : 'new';
}
