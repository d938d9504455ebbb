import { localTime } from '../local-time.ts';
import { type Paint, painter } from '../paint.ts';
import { escapeControls } from '../text.ts';
import { orElse } from '../or-else.ts';

/**
 * Formats one log line for a terminal; `colour` uses ANSI codes. A line that is not JSON is printed as it is, escaped.
 */
export function formatLogLine(line: string, colour: boolean): string {
  const record = parseLogLine(line);
  if (record === null) return escapeControls(line.trimEnd());
  const { level, time } = record;
  const { name, code } = LEVELS.get(Number(level)) ?? INFO;
  const paint = painter(colour);
  return [paint(clockTime(Number(time)), 90), paint(name.toUpperCase().padEnd(5), code), ...words(record, paint)].join(
    ' ',
  );
}

/** The same without time and level, which the journal shows by itself. */
export function formatMessage(line: string): string {
  const record = parseLogLine(line);
  return record === null ? escapeControls(line.trimEnd()) : words(record, (text) => text).join(' ');
}

/** What a line says besides its message, each value as one line of text; the tunnel among it. */
export function formatFields(line: string): readonly (readonly [key: string, value: string])[] {
  return Object.entries(parseLogLine(line) ?? {})
    .filter(([key]) => !['level', 'time', 'msg'].includes(key))
    .map(([key, value]) => [key, escapeControls(typeof value === 'string' ? value : JSON.stringify(value))] as const);
}

/** The syslog priority: 7 is debug, 3 an error. */
export function priorityOf(line: string): number {
  return (LEVELS.get(Number(parseLogLine(line)?.['level'])) ?? INFO).priority;
}

function words(record: Readonly<Record<string, unknown>>, paint: Paint): readonly string[] {
  const { level: _level, time: _time, tunnel, msg, ...rest } = record;
  const details = Object.entries(rest).map(([key, value]) => `${escapeControls(key)}=${show(value)}`);
  return [
    ...(typeof tunnel === 'string' ? [paint(`[${escapeControls(tunnel)}]`, 36)] : []),
    escapeControls(typeof msg === 'string' ? msg : ''),
    ...(details.length === 0 ? [] : [paint(details.join(' '), 90)]),
  ];
}

const INFO = { name: 'info', code: 32, priority: 6 };

const LEVELS = new Map([
  [10, { name: 'trace', code: 90, priority: 7 }],
  [20, { name: 'debug', code: 90, priority: 7 }],
  [30, INFO],
  [40, { name: 'warn', code: 33, priority: 4 }],
  [50, { name: 'error', code: 31, priority: 3 }],
  [60, { name: 'fatal', code: 31, priority: 2 }],
]);

/** The tunnel that a line of the log is about, or null. */
export function tunnelOfLine(line: string): string | null {
  const tunnel = parseLogLine(line)?.['tunnel'];
  return typeof tunnel === 'string' ? tunnel : null;
}

/** Null where it is not JSON. */
export function parseLogLine(line: string): Record<string, unknown> | null {
  const value = orElse(() => JSON.parse(line) as unknown, null);
  return typeof value === 'object' ? (value as Record<string, unknown> | null) : null;
}

function show(value: unknown): string {
  return escapeControls(typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value));
}

function clockTime(ms: number): string {
  const { day, clock } = localTime(Number.isFinite(ms) ? ms : 0);
  return `${day} ${clock}`;
}
