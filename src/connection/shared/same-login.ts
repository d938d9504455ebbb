import { fieldOf, type Option, SERVER_OPTIONS, TUNNEL_OPTIONS } from '../../model/options.ts';
import type { TunnelSpec } from '../../model/spec.ts';

/** What two tunnels must have in common, bit by bit, to share one connection. */
export function loginOf(spec: TunnelSpec): string {
  return JSON.stringify(CONNECTION_KEYS.map((key) => spec[key]));
}

/** For each key of a tunnel: whether the connection and its login depend on it, or only the tunnel's use of them. */
export const PART_OF = {
  ...partsOf(SERVER_OPTIONS, () => 'connection'),
  ...partsOf(TUNNEL_OPTIONS, ({ ofConnection = false }) => (ofConnection ? 'connection' : 'tunnel')),
  identityFilesConfigured: 'connection',
  jumps: 'connection',
  entry: 'connection',
  name: 'tunnel',
  forwards: 'tunnel',
} as Readonly<Record<keyof TunnelSpec, Part>>;

type Part = 'connection' | 'tunnel';

function partsOf(rows: Readonly<Record<string, Option>>, partOf: (option: Option) => Part): Record<string, Part> {
  const parts = Object.entries(rows).map(([name, option]) => [fieldOf(name, option), partOf(option)] as const);
  return Object.fromEntries(parts.filter(([field]) => field !== null));
}

const CONNECTION_KEYS = (Object.keys(PART_OF) as (keyof TunnelSpec)[]).filter((key) => PART_OF[key] === 'connection');
