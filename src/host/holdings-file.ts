import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { readJsonFile } from '../lib/files/read-json-file.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { durableFile } from '../lib/files/write-durably.ts';

/** A small file of what is remembered of listeners, under names. */
export interface HoldingsFile {
  recall(key: string): Holding | null;
  remember(key: string, holding: Holding): void;
  /** See DurableFile. */
  written(): Promise<void>;
}

const marks = z.array(z.string()).check(z.maxLength(64));
const holdingSchema = z.object({
  held: z.boolean(),
  machine: z.nullable(z.object({ id: z.nullable(z.string()), hostKeys: marks, hardware: marks })),
  other: z.nullable(z.object({ who: z.string(), day: z.string() })),
});

type Holding = z.infer<typeof holdingSchema>;

/**
 * Reads the file once and writes it anew, whole and flushed, after each change. A file that is damaged or cannot be written costs the
 * memory, never the start: `onTrouble` hears of it, and null when a write succeeded again. `held` names listeners that were had before
 * there was a file.
 */
export function openHoldingsFile(
  path: string,
  held: readonly string[],
  onTrouble: (message: string | null) => void,
): HoldingsFile {
  let troubled = false;
  const tell = (message: string | null) => {
    if (troubled || message !== null) onTrouble(message);
    troubled = message !== null;
  };
  const known = read(path, tell) ?? new Map<string, Holding>(held.map((key) => [key, HELD]));
  const text = () => `${JSON.stringify(Object.fromEntries(known), null, 2)}\n`;
  const { changed, written } = durableFile(path, text, (error) =>
    tell(error === null ? null : `what is known of listeners cannot be kept in ${path}: ${errorText(error)}`),
  );
  return {
    recall: (key) => known.get(key) ?? null,
    remember: (key, holding) => {
      if (isDeepStrictEqual(known.get(key), holding)) return;
      known.delete(key);
      known.set(key, holding);
      const [oldest] = known.keys();
      if (known.size > MAX_KEYS && oldest !== undefined) known.delete(oldest);
      changed();
    },
    written,
  };
}

const HELD: Holding = { held: true, machine: null, other: null };

const MAX_KEYS = 500;
const MAX_BYTES = 1024 * 1024;

/** Null where there is nothing to read. */
function read(path: string, onTrouble: (message: string) => void): Map<string, Holding> | null {
  try {
    const content = z.safeParse(z.record(z.string(), z.unknown()), readJsonFile(path, MAX_BYTES)).data;
    if (content === undefined) throw new Error('it holds no mapping');
    return new Map(
      Object.entries(content)
        .slice(-MAX_KEYS)
        .flatMap(([key, value]) => {
          const { data } = holdingSchema.safeParse(value);
          return data === undefined ? [] : [[key, data] as const];
        }),
    );
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') onTrouble(`what was known of listeners in ${path} is lost: ${errorText(error)}`);
    return null;
  }
}
