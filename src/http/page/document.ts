import type { Outage, OpenOutage } from '../../history/outage.ts';
import type { Past } from '../../history/summary.ts';
import type { StatusDocument, TunnelStatus } from '../../status/document.ts';
import { STEP_MS, type Series } from './samples.ts';

/** The first event of the page's stream: all that it shows. */
export interface PageDocument {
  /** Of the daemon, without its tunnels. */
  readonly daemon: DaemonPart;
  /** In the order of the configuration. */
  readonly tunnels: readonly TunnelStatus[];
  readonly history: HistoryPart;
  /** The last lines of the log as they were written: JSON. */
  readonly log: readonly string[];
  readonly samples: SamplesPart;
}

/** Each event after it: what has changed. A part that is absent is as it was. */
export interface PageChange {
  readonly daemon: DaemonPart;
  /** The names of all, in their order; where it has changed. */
  readonly names?: readonly string[];
  /** As they are now; those that have changed. */
  readonly tunnels?: readonly TunnelStatus[];
  readonly history?: HistoryPart;
  /** New lines. */
  readonly log?: readonly string[];
  /** Lines between those and the last that were left out. */
  readonly logOmitted?: number;
  /** The steps since the last event; the first of them continues the last one. */
  readonly samples?: SamplesPart;
}

export type DaemonPart = Omit<StatusDocument, 'tunnels'>;

/** By tunnel; times are milliseconds since 1970 by the clock of the device. */
export interface HistoryPart {
  /** When it was read: a watch that reached to then goes on. */
  readonly at: number;
  readonly tunnels: Readonly<Record<string, PastPart>>;
}

interface PastPart {
  readonly watched: readonly { readonly from: number; readonly to: number }[];
  /** The oldest first. */
  readonly outages: readonly OutagePart[];
}

type OutagePart = Omit<OpenOutage, 'tunnel'> & Partial<Pick<Outage, 'to' | 'ended' | 'clock'>>;

export interface SamplesPart {
  readonly stepMs: number;
  /** The index of the newest step. */
  readonly step: number;
  readonly tunnels: Readonly<Record<string, Series>>;
}

export function daemonPart(status: StatusDocument): DaemonPart {
  const { tunnels: _, ...daemon } = status;
  return daemon;
}

/** Pure: of these tunnels, since this time. */
export function historyPart(
  pasts: ReadonlyMap<string, Past>,
  { names, since, at }: { readonly names: readonly string[]; readonly since: number; readonly at: number },
): HistoryPart {
  const parts = names.flatMap((name) => {
    const past = pasts.get(name);
    return past === undefined ? [] : [[name, pastPart(past, since)] as const];
  });
  return { at, tunnels: Object.fromEntries(parts) };
}

function pastPart({ watched, outages }: Past, since: number): PastPart {
  return {
    watched: watched.filter(({ to }) => to >= since),
    outages: outages
      .filter((outage) => !('to' in outage) || outage.to >= since)
      .map((outage) => {
        const { tunnel: _, ...part } = outage;
        return part;
      }),
  };
}

export function samplesPart(step: number, tunnels: SamplesPart['tunnels']): SamplesPart {
  return { stepMs: STEP_MS, step, tunnels };
}

/** Pure: a tunnel's status without what differs from one document to the next although nothing has changed: the last digits of times. */
export function comparable(tunnel: TunnelStatus): string {
  return JSON.stringify(tunnel).replaceAll(/(T\d\d:\d\d:\d\d)\.\d{3}Z"/g, '$1"');
}
