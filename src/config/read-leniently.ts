import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { orElse } from '../lib/or-else.ts';
import { findExcess } from './excess.ts';

/** The paths that a possibly invalid configuration sets, as absolute paths; null where it does not. */
export interface Peeked {
  readonly socket: string | null;
  readonly stateDirectory: string | null;
}

export function peek(text: string, file: string, home: string): Peeked {
  const path = (value: unknown) => {
    if (typeof value !== 'string' || value === '') return null;
    return resolve(dirname(resolve(file)), value.startsWith('~/') ? resolve(home, value.slice(2)) : value);
  };
  const control = readKey(text, 'control') as { socket?: unknown } | null | undefined;
  return { socket: path(control?.socket), stateDirectory: path(readKey(text, 'stateDirectory')) };
}

/** Parses the lines of one key only, so that mistakes elsewhere do not matter. */
function readKey(text: string, key: string): unknown {
  const [block] = new RegExp(`^${key}:.*(?:\\r?\\n(?:[ \\t#}].*)?)*`, 'm').exec(text) ?? [];
  if (block === undefined || findExcess(block) !== null) return undefined;
  const read = () => (parse(block, { logLevel: 'silent', uniqueKeys: false }) as Record<string, unknown>)[key];
  return orElse(read, undefined);
}
