import { formatEndpoint } from '../../model/endpoint.ts';
import type { FieldValues, Kind } from '../../model/options.ts';
import { printConnectLimit } from '../values/connect-limit.ts';
import { escapeTokens } from '../values/path.ts';
import { printRekeyLimit } from '../values/restrictions.ts';

/** A parsed value as a file writes it. */
export function printValue({ type }: Kind, value: unknown): unknown {
  const print = (PRINTERS as Readonly<Record<string, (value: never) => unknown>>)[type];
  return print === undefined ? value : print(value as never);
}

type Printers = { readonly [Type in keyof FieldValues]?: (value: FieldValues[Type]) => unknown };

/** The kinds whose values are not written as they are. */
const PRINTERS: Printers = {
  agent: (socket) => (socket === null ? 'none' : escapeTokens(socket)),
  algorithms: (names) => names.join(','),
  'channel-timeouts': (limits) => limits.map(({ type, ms }) => `${type}=${ms / 1000}`),
  'connect-limit': printConnectLimit,
  destinations: (destinations) => (destinations?.length ? destinations : 'none'),
  duration: (ms) => ms / 1000,
  'http-listener': (listen) => (listen.type === 'unix' ? escapeTokens(listen.path) : formatEndpoint(listen)),
  'key-algorithms': (names) => names.join(',') || NOTHING_OF_OURS,
  mask: (bits) => bits.toString(8).padStart(4, '0'),
  methods: (names) => names.join(',') || 'none',
  path: escapeTokens,
  paths,
  reconnect: ({ minMs, maxMs }) => ({ min: minMs / 1000, max: maxMs / 1000 }),
  'rekey-limit': printRekeyLimit,
  socket: escapeTokens,
  'spaced-paths': paths,
};

/** Stands for a list without an algorithm that this program has. */
const NOTHING_OF_OURS = 'ssh-ed25519-cert-v01@openssh.com';

function paths(list: readonly string[]): string | readonly string[] {
  if (list.length === 0) return 'none';
  const written = list.map(escapeTokens);
  return written.length === 1 && !/\s/.test(written[0]!) ? written[0]! : written;
}
