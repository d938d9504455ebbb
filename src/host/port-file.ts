import { readFileSync, statSync } from 'node:fs';
import { errorCode, errorText } from '../lib/text.ts';
import { writeDurably } from './write-durably.ts';

/** A small file of port numbers under names, newest first. */
export interface PortFile {
  recall(key: string): readonly number[];
  remember(key: string, ports: readonly number[]): void;
}

/**
 * Reads the file once and writes it anew, whole and flushed, after each change, so that a loss of power leaves the old one or
 * the new one. A file that is damaged or cannot be written costs the memory of the ports, never the start: `onTrouble` hears
 * of it, of failed writes once.
 */
export function openPortFile(path: string, onTrouble: (message: string) => void): PortFile {
  const known = read(path, onTrouble);
  let troubled = false;
  return {
    recall: (key) => known.get(key) ?? [],
    remember: (key, ports) => {
      known.delete(key);
      known.set(key, ports);
      const [oldest] = known.keys();
      if (known.size > MAX_KEYS && oldest !== undefined) known.delete(oldest);
      try {
        writeDurably(path, `${JSON.stringify(Object.fromEntries(known), null, 2)}\n`);
        troubled = false;
      } catch (error) {
        if (!troubled) onTrouble(`the source ports cannot be kept in ${path}: ${errorText(error)}`);
        troubled = true;
      }
    },
  };
}

const MAX_KEYS = 500;
const MAX_BYTES = 1024 * 1024;

function read(path: string, onTrouble: (message: string) => void): Map<string, readonly number[]> {
  const known = new Map<string, readonly number[]>();
  try {
    // A pipe would hold us up for ever.
    const stats = statSync(path);
    if (!stats.isFile() || stats.size > MAX_BYTES) throw new Error('this is no file of ours');
    const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof content !== 'object' || content === null) throw new Error('it holds no mapping');
    for (const [key, ports] of Object.entries(content)) if (isPortList(ports)) known.set(key, ports);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') onTrouble(`the source ports in ${path} are lost: ${errorText(error)}`);
  }
  return known;
}

function isPortList(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((port) => Number.isInteger(port) && port > 0 && port < 65_536);
}
