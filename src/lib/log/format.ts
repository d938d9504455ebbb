import { escapeControls } from '../text.ts';

/**
 * Formats one log line for a terminal; `colour` uses ANSI codes. A line that is not JSON is printed as it is, escaped.
 */
export function formatLogLine(line: string, colour: boolean): string {
  const record = parse(line);
  if (record === null) return escapeControls(line.trimEnd());
  const { level, time, tunnel, msg, ...rest } = record;
  const { name, code } = LEVELS.get(Number(level)) ?? { name: 'info', code: 32 };
  const paint = (text: string, ansi: number) => (colour ? `\u001b[${ansi}m${text}\u001b[39m` : text);
  const details = Object.entries(rest).map(([key, value]) => `${escapeControls(key)}=${show(value)}`);
  return [
    paint(clockTime(Number(time)), 90),
    paint(name.toUpperCase().padEnd(5), code),
    ...(typeof tunnel === 'string' ? [paint(`[${escapeControls(tunnel)}]`, 36)] : []),
    escapeControls(typeof msg === 'string' ? msg : ''),
    ...(details.length === 0 ? [] : [paint(details.join(' '), 90)]),
  ].join(' ');
}

const LEVELS = new Map([
  [10, { name: 'trace', code: 90 }],
  [20, { name: 'debug', code: 90 }],
  [30, { name: 'info', code: 32 }],
  [40, { name: 'warn', code: 33 }],
  [50, { name: 'error', code: 31 }],
  [60, { name: 'fatal', code: 31 }],
]);

/** The tunnel that a line of the log is about, or null. */
export function tunnelOfLine(line: string): string | null {
  const tunnel = parse(line)?.['tunnel'];
  return typeof tunnel === 'string' ? tunnel : null;
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function show(value: unknown): string {
  return escapeControls(typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value));
}

/** Local date and time to the second, sortable. */
function clockTime(ms: number): string {
  const date = new Date(Number.isFinite(ms) ? ms : 0);
  const two = (value: number) => String(value).padStart(2, '0');
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  );
}
