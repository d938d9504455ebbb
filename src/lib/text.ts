import { maskSecrets } from './secrets.ts';
import { orElse } from './or-else.ts';

/**
 * Makes text from outside (a server, a visitor, a file) safe for a terminal and for a log of one line per message:
 * control characters, C1 codes, line separators and bidirectional marks become visible escapes, secrets of ours are
 * masked, and long text is cut.
 */
export function printable(text: string, maxLength = 300): string {
  const masked = maskSecrets(text);
  const escaped = escapeControls(masked.length > maxLength ? masked.slice(0, maxLength) : masked);
  return masked.length > maxLength ? `${escaped}…` : escaped;
}

/**
 * Escapes characters that could move a cursor, end a line or reorder text, and invisible ones; everything else stays as
 * it is.
 */
export function escapeControls(text: string): string {
  // To look first costs a fraction of it, and there is seldom one.
  if (text.search(UNSAFE) < 0) return text;
  return text.replace(UNSAFE, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** The first character of a line that is not seen in it, as in U+00A0; null where there is none. Tabs are blanks. */
export function invisibleCharacter(line: string): string | null {
  const code = line.replaceAll('\t', ' ').match(UNSAFE)?.[0]?.charCodeAt(0);
  return code === undefined ? null : `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** The same for a text whose line ends and tabs are meant. */
export function escapeLines(text: string): string {
  return text.replaceAll(/[^\n\t]+/g, escapeControls);
}

// C0, DEL and C1; unusual blanks, fillers and characters without width, which are invisible mistakes in a pasted word; line and
// paragraph separators; bidirectional embeddings, overrides, isolates and marks; the byte order mark; interlinear annotations.
const UNSAFE =
  /[\u0000-\u001f\u007f-\u00a0\u00ad\u061c\u115f\u1160\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufeff\uffa0\ufff9-\ufffb]/g;

/** The same for a line of JSON, in which JSON.stringify escapes only C0: the line still parses to the same value. */
export function escapeUnsafeJson(line: string): string {
  return line.replace(UNSAFE, (char) =>
    char === '\n' ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Lower case as in OpenSSH: only A to Z are folded, so that no other letter can pass for an ASCII one. */
export function lowerCase(text: string): string {
  return text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The first line of a text from outside, safe to print. */
export function firstLine(text: string, maxLength = 120): string {
  return printable(text.trim().split(/[\r\n]/, 1)[0] ?? '', maxLength);
}

/** The text behind its percent encoding (RFC 3986 section 2.1); one that is not encoded stays as it is. */
export function decodePercent(text: string): string {
  return orElse(() => decodeURIComponent(text), text);
}

/** The message of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node.js system error (`ENOENT`), or undefined. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** `1 tunnel`, `2 tunnels`. */
export function plural(count: number, one: string): string {
  return `${count} ${count === 1 ? one : `${one}s`}`;
}

/** At most this many of them, and how many more there are. */
export function firstFew(texts: readonly string[], most: number): readonly string[] {
  const more = texts.length - most;
  return more > 0 ? [...texts.slice(0, most), `and ${more} more`] : texts;
}

/** The time since then (ISO 8601). */
export function formatAge(iso: string, now: number): string {
  return formatDuration(now - Date.parse(iso));
}

/** The two largest units: `3d 4h`, `2m 5s`, `0s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const units = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const;
  const first = units.findIndex(([amount]) => amount > 0);
  if (first === -1) return '0s';
  return units
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}${unit}`)
    .join(' ');
}
