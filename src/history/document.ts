import type { OpenOutage, Outage, OutageCause } from './outage.ts';
import { lengthOf, longest, mostFrequentCause, outagesIn, shareOf, type Past, type Share } from './summary.ts';

/** The document of `tunneld history --json`. Times are ISO 8601; keys are only ever added. */
export interface HistoryDocument {
  readonly now: string;
  /** What is older is not among the outages. */
  readonly since: string;
  readonly tunnels: readonly TunnelHistory[];
}

export interface TunnelHistory {
  readonly name: string;
  /** Since when it is watched; now where it never was up, and never failed. */
  readonly watchedSince: string;
  /** Up to now. */
  readonly day: Share;
  readonly week: Share;
  readonly month: Share;
  /** Of these outages. */
  readonly longest?: OutageStatus;
  readonly mostFrequentCause?: OutageCause;
  /** The oldest first. */
  readonly outages: readonly OutageStatus[];
}

export interface OutageStatus {
  readonly from: string;
  /** Absent while it goes on. */
  readonly to?: string;
  readonly durationMs: number;
  readonly cause: OutageCause;
  readonly message?: string;
  /** Connections that were cut. */
  readonly visitors: number;
  /** For so much of it the device had no power or slept. */
  readonly offMs?: number;
  /** How it ended: `up`, or `removed` where the tunnel was taken out of the configuration. */
  readonly ended?: Outage['ended'];
  /** The device's clock may have been wrong. */
  readonly clock?: 'unsure';
}

/** Pure: of these tunnels, in this order. */
export function historyDocument(
  pasts: ReadonlyMap<string, Past>,
  { names, since, now }: { readonly names: readonly string[]; readonly since: number; readonly now: number },
): HistoryDocument {
  const tunnels = names.map((name) => tunnelHistory(name, pasts.get(name) ?? NO_PAST, since, now));
  return { now: iso(now), since: iso(since), tunnels };
}

const NO_PAST: Past = { watched: [], outages: [] };

function tunnelHistory(name: string, past: Past, since: number, now: number): TunnelHistory {
  const outages = outagesIn(past.outages, { from: since, to: now });
  const worst = longest(outages, now);
  const cause = mostFrequentCause(outages, now);
  const share = (ms: number) => shareOf(past, { from: now - ms, to: now });
  return {
    name,
    watchedSince: iso(past.watched[0]?.from ?? now),
    day: share(DAY_MS),
    week: share(7 * DAY_MS),
    month: share(30 * DAY_MS),
    ...(worst === null ? {} : { longest: outageStatus(worst, now) }),
    ...(cause === null ? {} : { mostFrequentCause: cause }),
    outages: outages.map((outage) => outageStatus(outage, now)),
  };
}

const DAY_MS = 86_400_000;

function outageStatus(outage: Outage | OpenOutage, now: number): OutageStatus {
  const { from, cause, message, visitors, offMs } = outage;
  const over = 'to' in outage ? outage : null;
  return {
    from: iso(from),
    ...(over === null ? {} : { to: iso(over.to) }),
    durationMs: lengthOf(outage, now),
    cause,
    ...(message === '' ? {} : { message }),
    visitors,
    ...(offMs === 0 ? {} : { offMs }),
    ...(over === null ? {} : { ended: over.ended }),
    ...(over?.clock === undefined ? {} : { clock: over.clock }),
  };
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
