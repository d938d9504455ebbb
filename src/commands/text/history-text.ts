import type { HistoryDocument, OutageStatus, TunnelHistory } from '../../history/document.ts';
import type { Share } from '../../history/summary.ts';
import { formatDuration, plural } from '../../lib/text.ts';
import { alignColumns } from './table.ts';
import { formatTime } from './time.ts';

/** The history for a person; times are those of the local time zone. */
export function formatHistory(document: HistoryDocument): string {
  const now = Date.parse(document.now);
  return document.tunnels.map((tunnel) => formatTunnel(tunnel, now)).join('\n');
}

function formatTunnel(tunnel: TunnelHistory, now: number): string {
  const { name, watchedSince, day, week, month, outages } = tunnel;
  const shares = [`day ${percent(day)}`, `week ${percent(week)}`, `month ${percent(month)}`];
  const watchedMs = now - Date.parse(watchedSince);
  const watched = watchedMs < MONTH_MS ? ` (watched for ${formatDuration(watchedMs)})` : '';
  const lines = [`${name}: up ${shares.join(', ')}${watched}`];
  if (outages.length === 0) return `${[...lines, '  no outage'].join('\n')}\n`;
  const rows = outages.map((outage) => formatOutage(outage, now));
  return `${[...lines, ...alignColumns(rows).map((row) => `  ${row}`), `  ${summary(tunnel)}`].join('\n')}\n`;
}

const MONTH_MS = 30 * 86_400_000;

function formatOutage(outage: OutageStatus, now: number): readonly string[] {
  const { from, to, durationMs, cause, message, visitors, offMs, ended, clock } = outage;
  const notes = [
    ...(to === undefined ? ['not over yet'] : []),
    ...(ended === 'removed' ? ['until the tunnel was removed'] : []),
    ...(offMs === undefined ? [] : [`device off for ${formatDuration(offMs)}`]),
    ...(visitors === 0 ? [] : [`${plural(visitors, 'connection')} cut`]),
    ...(clock === undefined ? [] : ['the clock may have been wrong']),
    ...(message === undefined ? [] : [message]),
  ];
  return [formatTime(from, now), lengthOf(durationMs), cause, notes.join('; ')];
}

/** What is shorter than a second is not nothing. */
export function lengthOf(ms: number): string {
  return ms < 1000 ? '<1s' : formatDuration(ms);
}

function summary({ outages, longest, mostFrequentCause }: TunnelHistory): string {
  const count = plural(outages.length, 'outage');
  if (longest === undefined || mostFrequentCause === undefined || outages.length === 1) return count;
  return `${count}, the longest ${lengthOf(longest.durationMs)}, most often ${mostFrequentCause}`;
}

/** Never 100 % where there was an outage: it is cut off, not rounded. */
function percent({ availability }: Share): string {
  return availability === undefined ? '-' : `${(Math.floor(availability * 10_000) / 100).toFixed(2)}%`;
}
