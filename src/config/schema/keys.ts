import {
  type ENTRY_OPTIONS,
  type FieldValues,
  type Option,
  OPTIONS,
  type SERVER_OPTIONS,
  type TUNNEL_OPTIONS,
  type ValueOf,
} from '../../model/options.ts';
import type { WrittenForward } from '../values/forward.ts';
import type { WrittenProxy } from '../values/proxy.ts';
import type { Redundancy } from '../../model/redundancy.ts';

/** The keys of a tunnel; absent ones are left out. */
export type TunnelKeys = KeysOf<typeof SERVER_OPTIONS & typeof TUNNEL_OPTIONS>;

/** The keys of a jump host; absent ones come from elsewhere. */
export type JumpKeys = KeysOf<typeof SERVER_OPTIONS>;

/** The keys of one of several servers of a tunnel. */
export type EntryKeys = KeysOf<typeof ENTRY_OPTIONS>;

/** The servers of a tunnel as they were written, the preferred one first. */
export interface WrittenServers extends Omit<Redundancy, 'tunnel'> {
  readonly entries: readonly EntryKeys[];
}

type KeysOf<Rows extends Readonly<Record<string, Option>>> = {
  readonly [Name in keyof Rows]?: ValueOf<Rows[Name]['kind'], KeyValues> | undefined;
};

/** The parsed values of each kind, also of options that have no field of their own. */
export interface KeyValues extends FieldValues {
  /** Null for none. */
  readonly command: string | null;
  readonly forwards: readonly WrittenForward[];
  readonly jumps: readonly JumpKeys[];
  readonly 'path-or-none': string;
  readonly proxy: WrittenProxy | null;
  readonly 'pubkey-authentication': boolean;
  readonly servers: WrittenServers;
}

type Key = keyof TunnelKeys;

/** Every option with its name. */
export const ROWS = Object.entries(OPTIONS) as readonly (readonly [Key, Option])[];

export const FORWARD_KEYS = ROWS.filter(([, { kind }]) => kind.type === 'forwards').map(
  ([name]) => name as 'remoteForward' | 'localForward' | 'dynamicForward',
);

/** The options that ssh_config(5) has too. */
export const SSH_OPTIONS = ROWS.flatMap(([name, { kind, ssh }]) => (ssh === undefined ? [] : [{ name, kind, ssh }]));
