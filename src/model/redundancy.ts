/** Of a tunnel with several servers (`servers`), which is a spec for each of them. */
export interface Redundancy {
  /** The tunnel's name in the file, which is also that of the spec for the first server. */
  readonly tunnel: string;
  /** `failover`: one server has the tunnel, the earlier ones preferred; `all`: every server has it. */
  readonly mode: 'failover' | 'all';
  /** How long no server has had the tunnel before the next one is tried too, in milliseconds. */
  readonly afterMs: number;
  /** How long an earlier server has had it before the later ones lose it, in milliseconds. */
  readonly backMs: number;
}

/** Defaults in milliseconds: longer than most restarts of a server, and than most troubles that come back. */
export const FAILOVER = { afterMs: 30_000, backMs: 5 * 60_000 } as const;

/** The name of a tunnel at one of its servers: no tunnel of a file has an @ in its name. */
export function nameAt(tunnel: string, server: string): string {
  return `${tunnel}@${server}`;
}

/** The name of the tunnel in the file. */
export function tunnelOf(name: string): string {
  const [tunnel = name] = name.split('@', 1);
  return tunnel;
}

/** Whether a person who writes `wanted` means this one: a tunnel's name stands for it at every server. */
export function isMeant(name: string, wanted: string | null): boolean {
  return wanted === null || name === wanted || tunnelOf(name) === wanted;
}
