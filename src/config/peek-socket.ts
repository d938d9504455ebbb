import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';

/** control.socket of a configuration that need not be valid, as an absolute path; null where it names none. */
export function peekSocket(text: string, file: string, home: string): string | null {
  const document = tolerantParse(text);
  const socket = document?.control?.socket;
  if (typeof socket !== 'string') return null;
  const expanded = socket.startsWith('~/') ? resolve(home, socket.slice(2)) : socket;
  return resolve(dirname(resolve(file)), expanded);
}

function tolerantParse(text: string): { control?: { socket?: unknown } | null } | null {
  try {
    return parse(text) as { control?: { socket?: unknown } | null } | null;
  } catch {
    return null;
  }
}
