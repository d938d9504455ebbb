import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { readJsonFile } from '../lib/files/read-json-file.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { durableFile } from '../lib/files/write-durably.ts';

/** A small file of what is remembered of listeners, by name. */
export interface ListenerRecordsFile {
  recall(key: string): ListenerRecord | null;
  remember(key: string, record: ListenerRecord): void;
  /** See DurableFile. */
  written(): Promise<void>;
}

const marks = z.array(z.string()).check(z.maxLength(64));
const recordSchema = z.object({
  held: z.boolean(),
  machine: z.nullable(z.object({ id: z.nullable(z.string()), hostKeys: marks, hardware: marks })),
  other: z.nullable(z.object({ who: z.string(), day: z.string() })),
});

type ListenerRecord = z.infer<typeof recordSchema>;

/**
 * Reads the file once and writes it anew, atomically, after each change. A file that is damaged or cannot be written
 * costs the memory, never the start: `onTrouble` gets the reason, and null when a write succeeds again. `held` names
 * listeners that were held before the file existed.
 */
export function openListenerRecordsFile(
  path: string,
  held: readonly string[],
  onTrouble: (message: string | null) => void,
): ListenerRecordsFile {
  let troubled = false;
  const report = (message: string | null) => {
    if (troubled || message !== null) onTrouble(message);
    troubled = message !== null;
  };
  const records = read(path, report) ?? new Map<string, ListenerRecord>(held.map((key) => [key, HELD]));
  const text = () => `${JSON.stringify(Object.fromEntries(records), null, 2)}\n`;
  const { changed, written } = durableFile(path, text, (error) =>
    report(error === null ? null : `${path} cannot be written, so listeners are not remembered: ${errorText(error)}`),
  );
  return {
    recall: (key) => records.get(key) ?? null,
    remember: (key, record) => {
      if (isDeepStrictEqual(records.get(key), record)) return;
      records.delete(key);
      records.set(key, record);
      const [oldest] = records.keys();
      if (records.size > MAX_KEYS && oldest !== undefined) records.delete(oldest);
      changed();
    },
    written,
  };
}

const HELD: ListenerRecord = { held: true, machine: null, other: null };

const MAX_KEYS = 500;
const MAX_BYTES = 1024 * 1024;

/** Null where the file cannot be read. */
function read(path: string, onTrouble: (message: string) => void): Map<string, ListenerRecord> | null {
  try {
    const content = z.safeParse(z.record(z.string(), z.unknown()), readJsonFile(path, MAX_BYTES)).data;
    if (content === undefined) throw new Error('it holds no mapping');
    return new Map(
      Object.entries(content)
        .slice(-MAX_KEYS)
        .flatMap(([key, value]) => {
          const { data } = recordSchema.safeParse(value);
          return data === undefined ? [] : [[key, data] as const];
        }),
    );
  } catch (error) {
    if (errorCode(error) !== 'ENOENT')
      onTrouble(`${path} cannot be read, so the memory of listeners is lost: ${errorText(error)}`);
    return null;
  }
}
