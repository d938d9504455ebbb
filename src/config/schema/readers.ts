import * as z from 'zod/mini';
import { ENTRY_OPTIONS, type Kind, type Option, OPTIONS, SERVER_OPTIONS, type ValueOf } from '../../model/options.ts';
import { readAlgorithms } from '../values/algorithm-list.ts';
import type { AlgorithmKey } from '../values/algorithms.ts';
import { readConnectLimit } from '../values/connect-limit.ts';
import { readDurationFrom } from '../values/duration.ts';
import { readDynamicForward, readForward } from '../values/forward.ts';
import { readAddress, readHost } from '../values/host.ts';
import { readArguments, readHttpListener, readUrl } from '../values/observe.ts';
import { paths, type ValueContext, readAgent, readPath, readSocketPath, spacedPaths } from '../values/path.ts';
import { readProxy } from '../values/proxy.ts';
import {
  readChannelTimeout,
  readKeyAlgorithms,
  readMask,
  readMethods,
  readPermitRemoteOpen,
  readPubkeyAuthentication,
  readRekeyLimit,
} from '../values/restrictions.ts';
import {
  BadValue,
  oneOrMany,
  readInteger,
  readOneOf,
  readText,
  readWord,
  readYesNo,
  refuse,
  transformed,
  value,
} from '../values/value.ts';
import { jumps } from './jump.ts';
import { servers } from './servers.ts';
import type { KeyValues } from './keys.ts';
import { mapping } from './mapping.ts';

/** The schema of each of these options. */
export function shapeOf<Rows extends Readonly<Record<string, Option>>>(rows: Rows, context: ValueContext) {
  const schemas = Object.entries(rows).map(([name, { kind }]) => [name, schemaOf(kind, context, name)]);
  return Object.fromEntries(schemas) as {
    [Name in keyof Rows]: z.ZodMiniType<ValueOf<Rows[Name]['kind'], Values>>;
  };
}

function schemaOf(kind: Kind, context: ValueContext, name: string): z.ZodMiniType {
  const read = SCHEMAS[kind.type] as (context: ValueContext, kind: Kind, name: string) => z.ZodMiniType;
  return read(context, kind, name);
}

interface Values extends KeyValues {
  readonly words: string;
  readonly strictness: string;
  readonly verify: string;
}

type Schemas = {
  readonly [Type in Kind['type']]: (
    context: ValueContext,
    kind: Extract<Kind, { readonly type: Type }>,
    name: string,
  ) => z.ZodMiniType<Values[Type]>;
};

/** The schema of each kind of value. */
const SCHEMAS: Schemas = {
  address: () => value(readAddress),
  agent: (context) => value(readAgent(context)),
  arguments: () => value(readArguments),
  algorithms: (context, _, name) => value(readAlgorithms(name as AlgorithmKey, context.aes)),
  'channel-timeouts': () => value(readChannelTimeout),
  command: () => value(readCommand),
  'connect-limit': () => value(readConnectLimit),
  destinations: () => value(readPermitRemoteOpen),
  duration: (_, { min }) => value(readDurationFrom(min)),
  forwards: (context, { of }) => {
    const path = readPath(context);
    return oneOrMany(value((raw) => (of === 'dynamic' ? readDynamicForward(raw, path) : readForward(of, raw, path))));
  },
  host: () => value(readHost),
  'http-listener': (context) => value(readHttpListener(context)),
  hosts: () => oneOrMany(value(readHost)),
  integer: (_, { min, max }) => value(readInteger(min, max)),
  jumps: (context) => jumps(() => shapeOf(SERVER_OPTIONS, context)),
  'key-algorithms': () => value(readKeyAlgorithms),
  mask: () => value(readMask),
  methods: () => value(readMethods),
  path: (context) => value(readPath(context)),
  'path-or-none': (context) => value((raw) => (raw === 'none' ? 'none' : readPath(context)(raw))),
  paths,
  port: () => value(readInteger(1, 65_535)),
  proxy: () => value(readProxy),
  'pubkey-authentication': () => value(readPubkeyAuthentication),
  reconnect,
  'rekey-limit': () => value(readRekeyLimit),
  servers: (context) => servers(() => shapeOf(ENTRY_OPTIONS, context)),
  socket: (context) => value(readSocketPath(context)),
  'spaced-paths': spacedPaths,
  strictness: (_, { words }) => value((raw) => readStrictness(raw, words)),
  url: () => value(readUrl),
  // YAML 1.2 reads `off` as text; `no` comes from users of ssh_config.
  verify: (_, { words }) => value((raw) => readOneOf(words)(raw === false || raw === 'no' ? 'off' : raw)),
  word: () => value(readWord),
  words: (_, { words }) => value(readOneOf(words)),
  'yes-no': () => value(readYesNo),
};

/** Null for `none`. */
function readCommand(raw: unknown): string | null {
  const text = readText(raw);
  return text.toLowerCase() === 'none' ? null : text;
}

function readStrictness(raw: unknown, words: readonly string[]): string {
  if (raw === true) return 'yes';
  if (raw === false) return 'no';
  if (raw === 'ask')
    throw new BadValue(
      'cannot be ask, because no user is there to answer: write yes, or accept-new to trust the first key',
    );
  if (raw === 'off') throw new BadValue('must be written no, which means the same as off');
  return readOneOf(words)(raw);
}

/** The shortest and the longest wait between attempts. */
function reconnect() {
  const limits = mapping({ min: value(readDurationFrom(1)), max: value(readDurationFrom(1)) });
  return transformed(limits, ({ min, max }, context) => {
    const { minMs: usualMin, maxMs: usualMax } = OPTIONS.reconnect.default;
    const { minMs, maxMs } = { minMs: min ?? usualMin, maxMs: max ?? usualMax };
    if (minMs <= maxMs) return { minMs, maxMs };
    const message = `has a min of ${minMs / 1000} seconds, above its max of ${maxMs / 1000}`;
    return refuse(context, message, { min, max });
  });
}
