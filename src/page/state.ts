import type { DaemonPart, PageChange, PageDocument, SamplesPart } from '../http/page/document.ts';
import type { Series } from '../http/page/samples.ts';
import type { TunnelStatus } from '../status/document.ts';
import { own } from './own.ts';

export interface PageState extends Omit<PageDocument, 'log'> {
  readonly log: readonly LogEntry[];
  /** Bytes a second of each tunnel between the last two events; null before the second. */
  readonly rates: Readonly<Record<string, Rate>>;
}

export interface Rate {
  readonly in: number;
  readonly out: number;
}

/** A line of the log, or the number of lines that were left out. */
export type LogEntry = { readonly line: string } | { readonly omitted: number };

export function initialPage({ daemon, tunnels, history, log, samples }: PageDocument): PageState {
  return { daemon, tunnels, history, log: log.map((line) => ({ line })), samples, rates: {} };
}

/** Pure: the state after an event. */
export function applyChange(state: PageState, change: PageChange): PageState {
  const changed = new Map((change.tunnels ?? []).map((tunnel) => [tunnel.name, tunnel]));
  const known = new Map(state.tunnels.map((tunnel) => [tunnel.name, tunnel]));
  const names = change.names ?? [...known.keys()];
  const tunnels = names.flatMap((name) => changed.get(name) ?? known.get(name) ?? []);
  const omitted = change.logOmitted === undefined ? [] : [{ omitted: change.logOmitted }];
  const lines = (change.log ?? []).map((line) => ({ line }));
  return {
    daemon: change.daemon,
    tunnels,
    history: change.history ?? state.history,
    log: [...state.log, ...omitted, ...lines].slice(-MAX_LINES),
    samples: change.samples === undefined ? state.samples : joined(state.samples, change.samples),
    rates: ratesOf(state, tunnels, change.daemon),
  };
}

const MAX_LINES = 400;
const MAX_STEPS = 288;

/** The first of the new steps continues the last one that is known. */
function joined(before: SamplesPart, now: SamplesPart): SamplesPart {
  const tunnels = Object.entries(now.tunnels).map(([name, series]) => {
    const known = own(before.tunnels, name);
    return [
      name,
      known === undefined ? series : append(known, series, before.step - (now.step - series.in.length)),
    ] as const;
  });
  return { ...now, tunnels: Object.fromEntries(tunnels) };
}

/** `overlap` of the known steps are replaced. */
function append(known: Series, series: Series, overlap: number): Series {
  const join = <T>(a: readonly T[], b: readonly T[]): readonly T[] =>
    [...a.slice(0, Math.max(0, a.length - Math.max(0, overlap))), ...b].slice(-MAX_STEPS);
  return { rtt: join(known.rtt, series.rtt), in: join(known.in, series.in), out: join(known.out, series.out) };
}

function ratesOf(state: PageState, tunnels: readonly TunnelStatus[], daemon: DaemonPart): PageState['rates'] {
  const seconds = (timeOf(daemon) - timeOf(state.daemon)) / 1000;
  // Events that follow each other at once show no rate.
  if (seconds < 0.5) return state.rates;
  const before = new Map(state.tunnels.map((tunnel) => [tunnel.name, bytesOf(tunnel)]));
  const rates = tunnels.map((tunnel) => {
    const [now, then] = [bytesOf(tunnel), before.get(tunnel.name) ?? bytesOf(tunnel)];
    return [
      tunnel.name,
      { in: Math.max(0, now.in - then.in) / seconds, out: Math.max(0, now.out - then.out) / seconds },
    ] as const;
  });
  return Object.fromEntries(rates);
}

function bytesOf({ forwards }: TunnelStatus): Rate {
  return forwards.reduce((sum, { bytesIn, bytesOut }) => ({ in: sum.in + bytesIn, out: sum.out + bytesOut }), {
    in: 0,
    out: 0,
  });
}

function timeOf({ now }: DaemonPart): number {
  return now === undefined ? 0 : Date.parse(now);
}
