import * as z from 'zod/mini';
import { readJsonFile } from '../lib/files/read-json-file.ts';
import { durableFile } from '../lib/files/write-durably.ts';
import { onlyChanges } from '../lib/only-changes.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { putNewest } from '../lib/maps.ts';

/** Values by name, the newest last, in a small JSON file. */
export interface StateMap<Value> {
  readonly values: ReadonlyMap<string, Value>;
  /** Of too many, the oldest is forgotten. */
  set(key: string, value: Value): void;
  delete(key: string): void;
  /** See DurableFile. */
  written(): Promise<void>;
}

/** How the values are written, and what messages call lost, or not remembered, without them. */
export interface StateFormat<Value> {
  readonly lost: string;
  readonly notRemembered: string;
  /** Leaves out what is damaged. */
  parse(content: Readonly<Record<string, unknown>>): readonly (readonly [string, Value])[];
  print(values: ReadonlyMap<string, Value>): object;
}

/**
 * Reads the file once and writes it anew, atomically, after each change, without anything waiting for it. A file that is damaged or cannot
 * be written costs the memory, never the start: `onTrouble` gets the reason, and null when a write succeeds again. `usual` are the values
 * where none can be read.
 */
export function openStateMap<Value>(
  path: string,
  { lost, notRemembered, parse, print }: StateFormat<Value>,
  onTrouble: (message: string | null) => void,
  usual: readonly (readonly [string, Value])[] = [],
): StateMap<Value> {
  const report = onlyChanges(onTrouble);
  const values = new Map(usual);
  try {
    const { data } = z.safeParse(z.record(z.string(), z.unknown()), readJsonFile(path, MAX_BYTES));
    if (data === undefined) throw new Error('it holds no mapping');
    values.clear();
    for (const [key, value] of parse(data).slice(-MAX_KEYS)) values.set(key, value);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') report(`${path} cannot be read, so ${lost} lost: ${errorText(error)}`);
  }
  const { changed, written } = durableFile(
    path,
    () => `${JSON.stringify(print(values), null, 2)}\n`,
    (error) =>
      report(
        error === null ? null : `${path} cannot be written, so ${notRemembered} not remembered: ${errorText(error)}`,
      ),
  );
  return {
    values,
    set: (key, value) => {
      putNewest(values, key, value, MAX_KEYS);
      changed();
    },
    delete: (key) => {
      if (values.delete(key)) changed();
    },
    written,
  };
}

const MAX_KEYS = 500;
const MAX_BYTES = 1024 * 1024;
