import type { PageState } from './state.ts';
import type { TunnelStatus } from '../status/document.ts';
import { formatAge, formatDuration } from '../lib/text.ts';
import { own } from './own.ts';

/** How a tunnel looks: up; up with a fault; not up yet, though nothing went wrong so far; down. */
export type Look = 'up' | 'degraded' | 'trying' | 'down';

export function lookOf({ phase, health, silentSince, failure, servers }: TunnelStatus): Look {
  if (servers?.standby === true) return 'up';
  if (phase !== 'up' && servers?.elsewhere !== undefined) return 'degraded';
  if (phase === 'up') return health === 'ok' && silentSince === undefined ? 'up' : 'degraded';
  const tries = phase === 'connecting' || phase === 'authenticating' || phase === 'forwarding';
  return tries && failure === undefined ? 'trying' : 'down';
}

/** Shapes, so that no one needs the colours. */
export const SIGNS: Readonly<Record<Look, string>> = { up: '●', degraded: '▲', trying: '◌', down: '■' };

export function stateText(tunnel: TunnelStatus): string {
  const { phase, silentSince, health, servers } = tunnel;
  if (servers?.standby === true) return 'standby';
  if (phase !== 'up' && servers?.elsewhere !== undefined) return `down here, up at ${servers.elsewhere}`;
  if (silentSince !== undefined) return 'up, but silent';
  if (phase === 'up') return health === 'ok' ? 'up' : 'up, with a fault';
  return WORDS[phase];
}

const WORDS: Readonly<Record<Exclude<TunnelStatus['phase'], 'up'>, string>> = {
  'waiting-for-network': 'down: no network',
  connecting: 'connecting',
  authenticating: 'logging in',
  forwarding: 'requesting its listeners',
  waiting: 'down',
  blocked: 'blocked: a person must act',
  stopped: 'stopped',
};

/** Since when it has not worked, by its outage, else by its phase. */
export function brokenSince({ history }: Pick<PageState, 'history'>, { name, since }: TunnelStatus): number {
  const outages = own(history.tunnels, name)?.outages ?? [];
  const last = outages.at(-1);
  return last !== undefined && last.to === undefined ? Math.min(last.from, Date.parse(since)) : Date.parse(since);
}

/** One sentence about all of them; without a time that passes, because it is read aloud when it changes. */
export function summary(tunnels: readonly TunnelStatus[]): string {
  const all = tunnels.length;
  const count = (look: Look) => tunnels.filter((tunnel) => lookOf(tunnel) === look).length;
  const [down, trying, faulty] = [count('down'), count('trying'), count('degraded')];
  if (all === 0) return 'No tunnels are configured';
  if (down > 0) return `${some(down, all)} down`;
  if (trying > 0) return `${some(trying, all)} not up yet`;
  if (all === 1) return faulty > 0 ? 'The tunnel is up, with a fault' : 'The tunnel is up';
  return faulty > 0 ? `All ${all} tunnels are up, ${faulty} with a fault` : `All ${all} tunnels are up`;
}

function some(count: number, all: number): string {
  if (all === 1) return 'The tunnel is';
  return `${count} of ${all} tunnels ${count === 1 ? 'is' : 'are'}`;
}

/** What is wrong with a tunnel, and what to do; null where it is well. */
export function troubleOf(
  tunnel: TunnelStatus,
  now: number,
): { readonly message: string; readonly hint: string } | null {
  const { phase, failure, retryAt, silentSince, forwards } = tunnel;
  if (silentSince !== undefined)
    return { message: `the connection has been silent for ${formatAge(silentSince, now)}`, hint: '' };
  if (phase !== 'up' && failure !== undefined) {
    const next = retryAt === undefined ? '' : `; next attempt ${untilText(Date.parse(retryAt) - now)}`;
    return { message: `${failure.message} (${failure.code})${next}`, hint: failure.hint };
  }
  for (const { listen, state, refusal, verified, unverified, targetFailure, exposed } of forwards) {
    if (targetFailure !== undefined)
      return { message: `${listen}: ${targetFailure.message} (${targetFailure.code})`, hint: targetFailure.hint };
    if (state === 'refused') return { message: `${listen}: the server refused it (${refusal ?? 'unknown'})`, hint: '' };
    if (verified === 'no') return { message: `${listen}: leads elsewhere, not to this device`, hint: '' };
    if (exposed) return { message: `${listen}: other machines than the server reach it`, hint: '' };
    if (phase === 'up' && tunnel.health !== 'ok' && unverified !== undefined)
      return { message: `${listen}: not verified: ${unverified}`, hint: '' };
  }
  return null;
}

function untilText(ms: number): string {
  return ms <= 500 ? 'now' : `in ${formatDuration(ms)}`;
}
