/** A port of the server that the keys of one of its users may listen on. */
export interface PromisedPort {
  readonly user: string;
  /** As permitlisten names it; `*` for all. */
  readonly host: string;
  readonly port: number;
}

/** Both ends belong to it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Where the server names no range of its own: below the ports that kernels give to outgoing connections (32768 and up on Linux). */
export const DEFAULT_RANGE: PortRange = { first: 20_000, last: 29_999 };

/** The file of the server that names its range, in one line such as `20000-29999`. */
export const RANGE_FILE = '/etc/ssh/tunneld_ports';

/** Null for a text that is no range of ports that users may listen on. */
export function readRange(text: string): PortRange | null {
  const [, first, last] = /^\s*(\d{1,5})\s*-\s*(\d{1,5})\s*$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  return range.first >= 1024 && range.first <= range.last && range.last <= 65_535 ? range : null;
}

/** What is known about the ports of a server. */
export interface PortFacts {
  readonly promised: readonly PromisedPort[];
  /** Ports on which any program listens. */
  readonly listening: readonly number[];
  readonly range: PortRange;
}

/** The user that a port is promised to, other than `own`; null where it is free. */
export function promisedTo({ promised }: Pick<PortFacts, 'promised'>, port: number, own: string): string | null {
  return promised.find((one) => one.port === port && one.user !== own)?.user ?? null;
}

/**
 * The lowest port of the range that is neither promised nor in use, and none of `taken`; null where the range is full. A port that is
 * promised to `own` already comes first: a setup that is run again keeps it.
 */
export function nextFreePort(facts: PortFacts, own: string, taken: readonly number[] = []): number | null {
  const mine = facts.promised.find(
    ({ user, port }) => user === own && port >= facts.range.first && port <= facts.range.last && !taken.includes(port),
  );
  if (mine !== undefined) return mine.port;
  const used = new Set([...facts.promised.map(({ port }) => port), ...facts.listening, ...taken]);
  for (let port = facts.range.first; port <= facts.range.last; port += 1) if (!used.has(port)) return port;
  return null;
}

/** The same for a port that is free at all of these servers. */
export function commonFreePort(
  servers: readonly PortFacts[],
  own: string,
  taken: readonly number[] = [],
): number | null {
  const passed = [...taken];
  for (;;) {
    const free = servers.map((facts) => nextFreePort(facts, own, passed));
    const least = Math.min(...free.map((port) => port ?? Number.NaN));
    if (Number.isNaN(least)) return null;
    if (free.every((port) => port === least)) return least;
    passed.push(least);
  }
}
