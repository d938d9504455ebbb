import { nameAt } from '../../model/redundancy.ts';
import { formatAddress } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { EntryKeys, TunnelKeys } from '../schema/keys.ts';
import { ROUTE_KEYS } from './resolve.ts';

/** One server of a tunnel, to be resolved. */
export interface Member {
  readonly name: string;
  readonly keys: TunnelKeys;
  readonly redundancy: TunnelSpec['redundancy'];
}

/**
 * A tunnel as one for each of its servers, or as it is where it has one `host`. The tunnel's keys are for all of them, and an entry's own
 * come first; its own host takes the place of servers that the defaults name.
 */
export function membersOf(name: string, own: TunnelKeys, defaults: TunnelKeys): readonly Member[] {
  const { servers: shared, ...usual } = defaults;
  const { servers = own.host === undefined ? shared : undefined, ...keys } = own;
  if (servers === undefined) return [{ name, keys: { ...usual, ...keys }, redundancy: undefined }];
  const { entries, ...policy } = servers;
  const names: string[] = [];
  return entries.map((entry, index) => {
    const member = index === 0 ? name : freeName(name, entry, names);
    names.push(member);
    return { name: member, keys: withEntry({ ...usual, ...keys }, entry), redundancy: { tunnel: name, ...policy } };
  });
}

/** Servers behind different jumps may have one host and port. */
function freeName(tunnel: string, { host = '', port = 22 }: EntryKeys, taken: readonly string[]): string {
  const whole = formatAddress({ host, port });
  const names = [host, whole, ...taken.map((_, index) => `${whole}-${index + 2}`)];
  return names.map((server) => nameAt(tunnel, server)).find((name) => !taken.includes(name))!;
}

/** The way to a server comes as a whole: a proxy of its own is not sent the password of the tunnel's. */
function withEntry(keys: TunnelKeys, entry: EntryKeys): TunnelKeys {
  const route: readonly string[] = ROUTE_KEYS.some((key) => entry[key as keyof EntryKeys] !== undefined)
    ? [...ROUTE_KEYS, 'proxyPasswordFile']
    : [];
  return { ...Object.fromEntries(Object.entries(keys).filter(([key]) => !route.includes(key))), ...entry };
}
