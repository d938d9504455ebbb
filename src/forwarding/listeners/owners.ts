import type { OtherProgram } from '../verify/results.ts';
import { type Endpoint, formatEndpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { loginKey } from '../../model/server-key.ts';

/**
 * Whose the listeners of a server are: what this machine remembers of them across restarts, and what follows for whether one may be
 * requested.
 */

/** What distinguishes this machine from another one with a copy of its files: digests only, and empty where nothing is known. */
export interface Machine {
  readonly id: string | null;
  readonly hostKeys: readonly string[];
  readonly hardware: readonly string[];
}

/** What is remembered of a listener across restarts. */
export interface OwnerRecord {
  /** Whether this tunnel had it. */
  readonly held: boolean;
  /** The machine that had it then; null where that is not known. */
  readonly machine: Machine | null;
  /** The device that was seen there before this machine ever had it. */
  readonly other: OtherDevice | null;
}

interface OtherDevice {
  /** Its first words, or its host key where it is an SSH server. */
  readonly who: string;
  /** As in 2026-01-31. */
  readonly day: string;
}

/** Whose a listener is, as far as that keeps it from being requested. */
export type Ownership =
  /** It is this tunnel's, or no device is known to have it: it may be requested. */
  | { readonly type: 'free' }
  /** It leads to another device, and is taken from it only by a person's decision. */
  | { readonly type: 'barred'; readonly other: OtherDevice; readonly copied: boolean }
  /** Another machine had it: this one has a copy of its files, or replaces it. */
  | { readonly type: 'copied' };

export function ownershipOf(record: OwnerRecord | null, machine: Machine): Ownership {
  if (record === null) return { type: 'free' };
  const { held, machine: before, other } = record;
  const copied = held && before !== null && isAnother(before, machine);
  if (other !== null) return { type: 'barred', other, copied };
  return copied ? { type: 'copied' } : { type: 'free' };
}

/** Whether the machine that had the listener may still run, and lose it. */
export function isCopy(ownership: Ownership): boolean {
  return ownership.type === 'copied' || (ownership.type === 'barred' && ownership.copied);
}

/** A part that is unknown on one side is not compared; of several keys or network cards one in common is enough. */
export function isAnother(before: Machine, now: Machine): boolean {
  const disjoint = (one: readonly string[], other: readonly string[]) =>
    one.length > 0 && other.length > 0 && !one.some((mark) => other.includes(mark));
  return (
    (before.id !== null && now.id !== null && before.id !== now.id) ||
    disjoint(before.hostKeys, now.hostKeys) ||
    disjoint(before.hardware, now.hardware)
  );
}

/**
 * What is remembered after another program was seen at a listener; null where that changes nothing. A tunnel that had the listener keeps
 * requesting it. One that never had it does not take another device's; and a copied machine takes it from nothing that lives.
 */
export function withOther(
  record: OwnerRecord | null,
  machine: Machine,
  other: OtherProgram,
  day: string,
): OwnerRecord | null {
  const ownership = ownershipOf(record, machine);
  const isDevice = other.hostKey !== null && !other.own;
  const bars = ownership.type === 'copied' ? isDevice || other.own || other.alive : isDevice && record?.held !== true;
  if (ownership.type === 'barred' || !bars) return null;
  const who = other.hostKey === null ? other.who : `SSH host key ${other.hostKey}`;
  return { held: false, machine: null, ...record, other: { who, day } };
}

/** Where the records are stored. Must survive a loss of power. */
export interface OwnerMemory {
  recall(key: string): OwnerRecord | null;
  remember(key: string, record: OwnerRecord): void;
}

export type Owners = ReturnType<typeof ownersAt>;

export interface OwnersByServer {
  /** Those of this server (`user@host:port`). */
  owners(server: string): Owners;
}

export interface OwnersDeps {
  readonly memory: OwnerMemory;
  readonly machine: Machine;
  /** Today, as in 2026-01-31. */
  readonly day: () => string;
}

/** The listeners of one server, as this machine remembers them. */
export function ownersAt(server: string, { memory, machine, day }: OwnersDeps) {
  const keyOf = (listen: Endpoint) => listenerKey(server, listen);
  const watchedSince = new Map<string, number>();
  const recall = (listen: Endpoint) => (canBeRemembered(listen) ? memory.recall(keyOf(listen)) : null);
  return {
    ownership: (listen: Endpoint): Ownership => ownershipOf(recall(listen), machine),
    /** Whether this machine never had this one: then it matters which program has it. */
    isNew: (listen: Endpoint): boolean => canBeRemembered(listen) && recall(listen)?.held !== true,
    rememberOurs: (listen: Endpoint): void => {
      if (canBeRemembered(listen)) memory.remember(keyOf(listen), { held: true, machine, other: null });
    },
    /** Remembers that another program was seen there. */
    rememberOther: (listen: Endpoint, other: OtherProgram): void => {
      if (!canBeRemembered(listen)) return;
      const next = withOther(recall(listen), machine, other, day());
      if (next !== null) memory.remember(keyOf(listen), next);
    },
    /** Whether a tunnel of this name was up at this server: needed where none of its listeners can be remembered. */
    wasUp: (tunnel: string): boolean => memory.recall(`${server} ${tunnel}`) !== null,
    rememberUp: (tunnel: string): void => memory.remember(`${server} ${tunnel}`, { held: true, machine, other: null }),
    /** Since when (monotonic) this one is watched for the machine that had it: since the first call. */
    watchedSince: (listen: Endpoint, now: number): number => {
      const since = watchedSince.get(keyOf(listen)) ?? now;
      watchedSince.set(keyOf(listen), since);
      return since;
    },
  };
}

/** The keys of a tunnel's listeners in an OwnerMemory. */
export function listenerKeys(
  spec: Pick<TunnelSpec, 'user' | 'host' | 'port' | 'jumps' | 'entry' | 'forwards'>,
): readonly string[] {
  return remoteListeners(spec).map((listen) => listenerKey(loginKey(spec), listen));
}

/** The listeners that can be remembered. */
export function remoteListeners({ forwards }: Pick<TunnelSpec, 'forwards'>): readonly Endpoint[] {
  return forwards.flatMap(({ kind, listen }) => (kind === 'remote' && canBeRemembered(listen) ? [listen] : []));
}

/** Without the tunnel's name, which may change. */
function listenerKey(server: string, listen: Endpoint): string {
  return `${server} ${formatEndpoint(listen)}`;
}

/** A port that the server chooses differs each time, and the file of a Unix socket does not show which program made it. */
function canBeRemembered(listen: Endpoint): boolean {
  return listen.type === 'tcp' && listen.port !== 0;
}
