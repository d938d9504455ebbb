import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { openStateMap, type StateFormat } from './state-map.ts';

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

/** Opens the file; see openStateMap(). `held` names listeners that were held before the file existed. */
export function openListenerRecordsFile(
  path: string,
  held: readonly string[],
  onTrouble: (message: string | null) => void,
): ListenerRecordsFile {
  const usual = held.map((key) => [key, HELD] as const);
  const { values, set, written } = openStateMap(path, FORMAT, onTrouble, usual);
  return {
    recall: (key) => values.get(key) ?? null,
    remember: (key, record) => {
      if (!isDeepStrictEqual(values.get(key), record)) set(key, record);
    },
    written,
  };
}

const HELD: ListenerRecord = { held: true, machine: null, other: null };

const FORMAT: StateFormat<ListenerRecord> = {
  lost: 'the memory of listeners is',
  notRemembered: 'listeners are',
  parse: (content) =>
    Object.entries(content).flatMap(([key, value]) => {
      const { data } = recordSchema.safeParse(value);
      return data === undefined ? [] : [[key, data] as const];
    }),
  print: (values) => Object.fromEntries(values),
};
