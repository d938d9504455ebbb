import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { openStateMap, type StateFormat } from './state-map.ts';

/**
 * A small file of port numbers by name, newest first, and of the last eviction of a dead connection from one of them.
 */
export interface PortFile {
  recall(key: string): readonly number[];
  remember(key: string, ports: readonly number[]): void;
  forget(key: string): void;
  /** The day and the time that a server took to release a listener; null where that was never seen. */
  eviction(key: string): Eviction | null;
  /** Where no port is known by this name, it is not needed. */
  noteEviction(key: string, eviction: Eviction): void;
  /** See DurableFile. */
  written(): Promise<void>;
}

/** Opens the file; see openStateMap(). */
export function openPortFile(path: string, onTrouble: (message: string | null) => void): PortFile {
  const { values, set, delete: forget, written } = openStateMap(path, FORMAT, onTrouble);
  return {
    recall: (key) => values.get(key)?.ports ?? [],
    remember: (key, ports) => set(key, { ports, eviction: values.get(key)?.eviction ?? null }),
    forget,
    eviction: (key) => values.get(key)?.eviction ?? null,
    noteEviction: (key, { day, seconds }) => {
      const known = values.get(key);
      const eviction = { day, seconds };
      if (known !== undefined && !isDeepStrictEqual(known.eviction, eviction)) set(key, { ...known, eviction });
    },
    written,
  };
}

/** More ports than 64 are never remembered for a name. */
const portsSchema = z.array(z.int().check(z.minimum(1), z.maximum(65_535))).check(z.maxLength(64));
const evictionSchema = z.object({ day: z.string().check(z.regex(/^\d{4}-\d\d-\d\d$/)), seconds: z.int() });

type Eviction = Readonly<z.infer<typeof evictionSchema>>;

const FORMAT: StateFormat<{ readonly ports: readonly number[]; readonly eviction: Eviction | null }> = {
  lost: 'the source ports are',
  notRemembered: 'source ports are',
  parse: ({ evictions, ...lists }) =>
    Object.entries(lists).flatMap(([key, list]) => {
      const { data: ports } = portsSchema.safeParse(list);
      const eviction = evictionSchema.safeParse(Object(evictions)[key]).data ?? null;
      return ports === undefined ? [] : [[key, { ports, eviction }] as const];
    }),
  // `evictions` stands among the names of tunnels and servers, which contain a blank.
  print: (values) => {
    const evictions = [...values].flatMap(([key, { eviction }]) =>
      eviction === null ? [] : [[key, eviction] as const],
    );
    return {
      ...Object.fromEntries([...values].map(([key, { ports }]) => [key, ports])),
      ...(evictions.length === 0 ? {} : { evictions: Object.fromEntries(evictions) }),
    };
  },
};
