// Types alone: the page has this file, and the browser needs no schema.
import type { HistoryRecord, OpenOutage, Outage, OutageCause } from './outage.ts';

/** What is known of one tunnel's past. */
export interface Past {
  /** Pieces of time in which it was watched; the last one may reach to now. */
  readonly watched: readonly Span[];
  /** The oldest first; the one that goes on has no end. */
  readonly outages: readonly (Outage | OpenOutage)[];
}

/** Milliseconds since 1970. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Of a piece of time up to now. */
export interface Share {
  /** For so much of it the tunnel was watched. */
  readonly watchedMs: number;
  readonly downMs: number;
  /** Part of downMs: the device had no power or slept. */
  readonly offMs: number;
  readonly outages: number;
  /** Of the time in which it was watched, from 0 to 1; absent where it was not watched at all. */
  readonly availability?: number;
}

/** Pure: the past of each tunnel, by what the file holds. */
export function pastOf(records: readonly HistoryRecord[], now: number): Map<string, Past> {
  const pasts = new Map<
    string,
    { began: number | null; open: OpenOutage | null; watched: Span[]; outages: Outage[] }
  >();
  for (const record of records) {
    if (record.type === 'stop') continue;
    const { tunnel } = record;
    const past = pasts.get(tunnel) ?? { began: null, open: null, watched: [], outages: [] };
    pasts.set(tunnel, past);
    // The oldest lines go first where the file is full; what is left of a tunnel says that it was watched.
    if (record.type === 'begin') past.began ??= record.at;
    else if (record.type !== 'end') past.began ??= record.from;
    if (record.type === 'end' && past.began !== null) {
      past.watched.push({ from: past.began, to: Math.max(past.began, record.at) });
      past.began = null;
    }
    if (record.type === 'outage') past.outages.push(plain(record));
    past.open = record.type === 'down' ? plain(record) : null;
  }
  return new Map(
    [...pasts].map(([tunnel, { began, open, watched, outages }]) => [
      tunnel,
      {
        watched: began === null ? watched : [...watched, { from: began, to: Math.max(began, now) }],
        outages: open === null ? outages : [...outages, open],
      },
    ]),
  );
}

function plain<T extends HistoryRecord>(record: T): Omit<T, 'type' | 'boot'> {
  const rest: Partial<T> = { ...record };
  delete rest.type;
  delete rest.boot;
  return rest as Omit<T, 'type' | 'boot'>;
}

/** Pure: how much of a piece of time a tunnel worked. An outage counts only where it was watched. */
export function shareOf({ watched, outages }: Past, span: Span): Share {
  const watchedMs = sum(watched.map((piece) => overlap(piece, span)));
  const downs = outages.map((outage) => ({ from: outage.from, to: endOf(outage, span.to) }));
  const downMs = Math.min(sum(union(downs).map((piece) => overlap(piece, span))), watchedMs);
  const offMs = sum(downs.map((down, index) => Math.min(overlap(down, span), outages[index]!.offMs)));
  return {
    watchedMs,
    downMs,
    offMs: Math.min(offMs, downMs),
    outages: downs.filter((down) => touches(down, span)).length,
    ...(watchedMs === 0 ? {} : { availability: 1 - downMs / watchedMs }),
  };
}

/** When an outage ended; `now` where it goes on. */
export function endOf(outage: Outage | OpenOutage, now: number): number {
  return 'to' in outage ? outage.to : now;
}

/** Pure: the outages that reach into a piece of time. */
export function outagesIn<T extends Outage | OpenOutage>(outages: readonly T[], span: Span): readonly T[] {
  return outages.filter((outage) => touches({ from: outage.from, to: endOf(outage, span.to) }, span));
}

/** Pure: the cause of most outages; of several the one that lasted longest in all. Null without an outage. */
export function mostFrequentCause(outages: readonly (Outage | OpenOutage)[], now: number): OutageCause | null {
  const tally = new Map<OutageCause, { count: number; ms: number }>();
  for (const outage of outages) {
    const { count, ms } = tally.get(outage.cause) ?? { count: 0, ms: 0 };
    tally.set(outage.cause, { count: count + 1, ms: ms + lengthOf(outage, now) });
  }
  const [first] = [...tally].toSorted(([, a], [, b]) => b.count - a.count || b.ms - a.ms);
  return first?.[0] ?? null;
}

/** Pure: null without an outage. */
export function longest<T extends Outage | OpenOutage>(outages: readonly T[], now: number): T | null {
  return outages.reduce<T | null>(
    (best, outage) => (best === null || lengthOf(outage, now) > lengthOf(best, now) ? outage : best),
    null,
  );
}

/** Milliseconds up to its end, or up to `now`. */
export function lengthOf(outage: Outage | OpenOutage, now: number): number {
  return Math.max(0, endOf(outage, now) - outage.from);
}

/** One that ended in the moment in which the span begins is not in it; one without a length may be. */
function touches({ from, to }: Span, span: Span): boolean {
  return from < span.to && (to > span.from || (from === to && from >= span.from));
}

function overlap(a: Span, b: Span): number {
  return Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from));
}

/** The same time without what is in two of them, so that nothing counts twice. */
function union(pieces: readonly Span[]): readonly Span[] {
  const result: Span[] = [];
  for (const { from, to } of pieces.toSorted((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last === undefined || from > last.to) result.push({ from, to: Math.max(from, to) });
    else if (to > last.to) result[result.length - 1] = { from: last.from, to };
  }
  return result;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
