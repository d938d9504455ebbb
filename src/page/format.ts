import { formatDuration } from '../lib/text.ts';

/** `512 B`, `1.5 KiB`, `23 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const) {
    if (value < 1000 || unit === 'TiB')
      return `${unit === 'B' || value >= 10 ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return '';
}

/** From 0 to 1; never rounded up to 100 %, which stands for no outage at all. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 100) return '100 %';
  const digits = percent > 99.9 ? 3 : percent > 99 ? 2 : 1;
  const factor = 10 ** digits;
  return `${(Math.floor(percent * factor) / factor).toFixed(digits)} %`;
}

export function formatMs(ms: number): string {
  return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : formatDuration(ms);
}

/** Of an outage: shorter than a second is not nothing. */
export function formatLength(ms: number): string {
  return ms < 1000 ? 'less than 1s' : formatDuration(ms);
}

/** In the browser's time zone and language. */
export function formatTime(ms: number, now: number): string {
  const date = new Date(ms);
  const isToday = date.toDateString() === new Date(now).toDateString();
  const time = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  return isToday ? time : `${formatDay(ms)}, ${time}`;
}

export function formatDay(ms: number): string {
  return new Date(ms).toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short' });
}
