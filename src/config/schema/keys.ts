import {
  type FieldValues,
  type Option,
  OPTIONS,
  type SERVER_OPTIONS,
  type TUNNEL_OPTIONS,
  type ValueOf,
} from '../../model/options.ts';
import type { WrittenForward } from '../values/forward.ts';
import type { WrittenProxy } from '../values/proxy.ts';

/** What a tunnel says; what it leaves out is absent. */
export type TunnelKeys = KeysOf<typeof SERVER_OPTIONS & typeof TUNNEL_OPTIONS>;

/** What a server to go through says; what it leaves out comes from elsewhere. */
export type JumpKeys = KeysOf<typeof SERVER_OPTIONS>;

type KeysOf<Rows extends Readonly<Record<string, Option>>> = {
  readonly [Name in keyof Rows]?: ValueOf<Rows[Name]['kind'], KeyValues> | undefined;
};

/** What the values of a kind are once they have been read, also of those that become a part of something else. */
export interface KeyValues extends FieldValues {
  readonly certificates: undefined;
  /** Null for none. */
  readonly command: string | null;
  readonly forwards: readonly WrittenForward[];
  readonly jumps: readonly JumpKeys[];
  readonly 'path-or-none': string;
  readonly proxy: WrittenProxy | null;
  readonly 'pubkey-authentication': boolean;
}

type Key = keyof TunnelKeys;

/** Every option with its name. */
export const ROWS = Object.entries(OPTIONS) as readonly (readonly [Key, Option])[];

/** The options that are forwards. */
export const FORWARD_KEYS = ROWS.filter(([, { kind }]) => kind.type === 'forwards').map(
  ([name]) => name as 'remoteForward' | 'localForward' | 'dynamicForward',
);

/** The options that ssh_config(5) has too. */
export const SSH_OPTIONS = ROWS.flatMap(([name, { kind, ssh }]) => (ssh === undefined ? [] : [{ name, kind, ssh }]));
