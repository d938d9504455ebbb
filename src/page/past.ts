import { endOf, outagesIn, shareOf, type Past, type Share, type Span } from '../history/summary.ts';
import type { Outage, OpenOutage } from '../history/outage.ts';
import type { HistoryPart } from '../http/page/document.ts';
import { own } from './own.ts';

/** A piece of the ribbon, or of anything that has one look for each piece of time. */
export interface Cell extends Span {
  readonly share: Share;
  /** Those that reach into it. */
  readonly outages: readonly (Outage | OpenOutage)[];
}

/** Pure: the past of a tunnel as it is now; null where it was never watched. */
export function pastAt({ at, tunnels }: HistoryPart, name: string, now: number): Past | null {
  const past = own(tunnels, name);
  if (past === undefined) return null;
  const last = past.watched.at(-1);
  const goesOn = last !== undefined && last.to >= at - SLACK_MS;
  const watched = goesOn
    ? [...past.watched.slice(0, -1), { from: last.from, to: Math.max(last.to, now) }]
    : past.watched;
  return { watched, outages: past.outages.map((outage) => ({ tunnel: name, ...outage })) };
}

/** From the reading of the history to the note of its time. */
const SLACK_MS = 5000;

/** Pure: the last days as calendars have them here, the oldest first; the last one ends now. */
export function cellsOfDays(past: Past, days: number, now: number): readonly Cell[] {
  const today = new Date(now);
  const midnight = (ago: number) => new Date(today.getFullYear(), today.getMonth(), today.getDate() - ago).getTime();
  return Array.from({ length: days }, (_, index) => {
    const ago = days - 1 - index;
    const span = { from: midnight(ago), to: ago === 0 ? now : midnight(ago - 1) };
    return { ...span, share: shareOf(past, span), outages: outagesIn(past.outages, span) };
  });
}

/** Pure: the pieces of a span in which the tunnel was watched, and those in which it was down, as parts of the span from 0 to 1. */
export function partsOf(past: Past, span: Span): { readonly watched: readonly Span[]; readonly down: readonly Span[] } {
  const part = (time: number) => Math.min(1, Math.max(0, (time - span.from) / (span.to - span.from)));
  const inside = ({ from, to }: Span) => to > span.from && from < span.to;
  const cut = ({ from, to }: Span) => ({ from: part(from), to: part(to) });
  return {
    watched: past.watched.filter(inside).map(cut),
    down: past.outages
      .map((outage) => spanOf(outage, span.to))
      .filter(inside)
      .map(cut),
  };
}

export function spanOf(outage: Outage | OpenOutage, now: number): Span {
  return { from: outage.from, to: Math.max(outage.from, endOf(outage, now)) };
}

/** Pure: how much of a bar is red: any outage can be seen, and a second differs from an hour. */
export function severity({ watchedMs, downMs, outages }: Share): number {
  if (outages === 0 || watchedMs === 0) return 0;
  const seconds = Math.max(1, downMs / 1000);
  return Math.min(1, 0.2 + (0.8 * Math.log10(seconds)) / Math.log10(86_400));
}
