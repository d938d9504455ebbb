import { ENTRY_OPTIONS, type Kind, type Option, OPTIONS, SERVER_OPTIONS, TUNNEL_OPTIONS } from '../../model/options.ts';
import { PROXY_PROTOCOLS, TUNNEL_NAME } from '../../model/spec.ts';
import { ALGORITHMS, type AlgorithmKey } from '../values/algorithms.ts';
import { describeDefault } from './describe.ts';
import { FILE_OPTIONS, SECTIONS } from './file-options.ts';
import { MAX_JUMPS } from './jump.ts';
import { MAX_SERVERS } from './servers.ts';
import { FORWARD_KEYS } from './keys.ts';

/** A part of a JSON Schema (draft 7, which editors know). */
type Fragment = Readonly<Record<string, unknown>>;

/**
 * The JSON Schema of a configuration, for editors: it accepts every valid configuration, and rejects what is invalid on any device. The
 * program itself uses functions with better messages.
 */
export function configSchema(): Fragment {
  const shared = Object.fromEntries(
    Object.keys(OPTIONS)
      .filter((name) => !(FORWARD_KEYS as readonly string[]).includes(name))
      .map((name) => [name, reference(name)]),
  );
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Configuration of tunneld',
    ...mappingOf(
      {
        tunnels: {
          description: 'the tunnels by their names',
          type: 'object',
          minProperties: 1,
          propertyNames: { pattern: TUNNEL_NAME.source },
          additionalProperties: mappingOf(references(OPTIONS)),
        },
        defaults: { description: 'keys for all tunnels', ...mappingOf(shared) },
        ...Object.fromEntries(Object.entries(SECTIONS).map(([name, rows]) => [name, mappingOf(fragments(rows))])),
        ...fragments(FILE_OPTIONS),
      },
      ['tunnels'],
    ),
    definitions: fragments({ ...SERVER_OPTIONS, ...TUNNEL_OPTIONS }),
  };
}

function mappingOf(properties: Fragment, required: readonly string[] = []): Fragment {
  return { type: 'object', additionalProperties: false, ...(required.length === 0 ? {} : { required }), properties };
}

function fragments(rows: Readonly<Record<string, Option>>): Fragment {
  return Object.fromEntries(
    Object.entries(rows).map(([name, option]) => [
      name,
      { description: describe(option), ...fragment(option.kind, name) },
    ]),
  );
}

function references(rows: object): Fragment {
  return Object.fromEntries(Object.keys(rows).map((name) => [name, reference(name)]));
}

function reference(name: string): Fragment {
  return { $ref: `#/definitions/${name}` };
}

function describe(option: Option): string {
  const ssh = option.ssh === undefined ? '' : `. ${option.ssh.name} of ssh_config(5)`;
  return `${option.text} (without it: ${describeDefault(option)})${ssh}`;
}

function fragment(kind: Kind, name: string): Fragment {
  const describeKind = FRAGMENTS[kind.type] as (kind: Kind, name: string) => Fragment;
  return describeKind(kind, name);
}

type Fragments = {
  readonly [Type in Kind['type']]: (kind: Extract<Kind, { readonly type: Type }>, name: string) => Fragment;
};

const text = (pattern?: string): Fragment => ({
  type: 'string',
  ...(pattern === undefined ? { minLength: 1 } : { pattern }),
});
const anyOf = (...fragments: readonly Fragment[]): Fragment => ({ anyOf: fragments });
const oneOrMany = (item: Fragment): Fragment => anyOf(item, { type: 'array', items: item });
/** A pattern that ignores case, for which JSON Schema has no flag. */
const anyCase = (words: string) => words.replaceAll(/[a-z]/g, (letter) => `[${letter.toUpperCase()}${letter}]`);
/** The words that editors offer, and what is accepted besides. */
const offered = (words: readonly string[], ...more: readonly Fragment[]): Fragment => anyOf({ enum: words }, ...more);

const TEXT = text();
const DURATION_TEXT = text('^\\s*(?=\\d)(?:\\d+[smhdwSMHDW])*\\d*\\s*$');
const HOST = text('^[^\\s@/[\\]]+$');
const DESTINATION = '(?:\\[[^\\]]*\\]|[^:\\[\\]/\\s]+)[:/]\\S+';
const LIMIT = '[\\w@.*?-]+=\\S+';
/** At least two separators, or one and a path. */
const FORWARD = text('[:\\s].*[:\\s]|/.*[:\\s]|[:\\s].*/');

const switchOf = (words: string) => offered(['yes', 'no'], { type: 'boolean' }, text(`^(?:${anyCase(words)})$`));
const words = (kind: { readonly words: readonly string[] }): Fragment => ({ enum: kind.words });
const spaced = (word: string, alone: string) =>
  anyOf(text(`^\\s*(?:${alone}|${word}(?:\\s+${word})*)\\s*$`), {
    type: 'array',
    items: text(`^(?:${alone}|${word})$`),
  });
const number = (min: number, max: number): Fragment =>
  anyOf({ type: 'integer', minimum: min, maximum: max }, text('^\\d+$'));
const duration = (min: number): Fragment => anyOf({ type: 'integer', minimum: min }, DURATION_TEXT);
const listed = (pattern: string): Fragment => anyOf(text(pattern), { type: 'array', minItems: 1, items: TEXT });

/** The schema of each kind of value. */
const FRAGMENTS: Fragments = {
  address: () => text('^[\\da-zA-Z.:%_-]+$'),
  agent: () => TEXT,
  algorithms: (_, name) => listed(algorithmList(name as AlgorithmKey)),
  arguments: () => oneOrMany(TEXT),
  'channel-timeouts': () => spaced(LIMIT, anyCase('none')),
  command: () => TEXT,
  'connect-limit': () => offered(['auto'], text('^\\d+/\\w+$')),
  destinations: () => spaced(DESTINATION, anyCase('none|any')),
  duration: ({ min }) => duration(min),
  forwards: ({ of }) => oneOrMany(of === 'dynamic' ? anyOf(number(1, 65_535), TEXT) : anyOf(FORWARD, halves(of))),
  host: () => HOST,
  hosts: () => oneOrMany(HOST),
  'http-listener': () => anyOf({ type: 'integer', minimum: 1, maximum: 65_535 }, TEXT),
  integer: ({ min, max }) => number(min, max),
  jumps: () =>
    anyOf(text('^\\s*[^\\s,]+(?:\\s*,\\s*[^\\s,]+)*\\s*$'), hop(), {
      type: 'array',
      maxItems: MAX_JUMPS,
      items: anyOf(text('^\\S+$'), hop()),
    }),
  'key-algorithms': () => listed('^\\s*[+^-]?[^,]+(?:,[^,]+)*$'),
  mask: () => text('^0*[0-7]{1,3}$'),
  methods: () => listed('^[^,]+(?:,[^,]+)*$'),
  path: () => TEXT,
  'path-or-none': () => TEXT,
  paths: () => oneOrMany(TEXT),
  port: () => number(1, 65_535),
  proxy: () =>
    text(
      `^(?:${anyCase('none')}|(?:${anyCase('http|socks')}5?${anyCase('h')}?)://(?:[^@:/]*@)?(?:\\[[^\\]]+\\]|[^@:/[\\]]+)(?::\\d+)?/?)$`,
    ),
  'pubkey-authentication': () => switchOf('yes|no|true|false|unbound|host-bound'),
  reconnect: () => mappingOf({ min: duration(1), max: duration(1) }),
  'rekey-limit': () =>
    anyOf(
      { type: 'integer', minimum: 0 },
      text(`^\\s*(?:\\d{1,15}(?:\\.\\d*)?[bkmgtpeBKMGTPE]?|${anyCase('default|none')})(?:\\s+\\S+)?\\s*$`),
      { type: 'array', minItems: 1, maxItems: 2, items: TEXT },
    ),
  servers: () =>
    anyOf(serverList(), serversBy('failover', { after: duration(1), back: duration(1) }), serversBy('all', {})),
  socket: () => TEXT,
  'spaced-paths': () => oneOrMany(TEXT),
  strictness: ({ words }) => offered(words, { type: 'boolean' }),
  url: () => text('^[hH][tT][tT][pP][sS]?://\\S+$'),
  verify: ({ words }) => offered(words, { enum: ['no', false] }),
  word: () => text('^[^\\s-]\\S*$'),
  words,
  'yes-no': () => switchOf('yes|no|true|false'),
};

/** A list of known names, or what to remove from the default. */
function algorithmList(key: AlgorithmKey): string {
  const { defaults, others, patterns } = ALGORITHMS[key];
  const names = [...defaults, ...others].map((each) => each.replaceAll('.', '\\.'));
  const name = `\\s*(?:${[...names, ...(patterns === true ? ['[\\w@.-]*[*?][\\w@.*?-]*'] : [])].join('|')})\\s*`;
  return `^\\s*(?:-.+|[+^]?${name}(?:,${name})*)$`;
}

/** A forward as a mapping. */
function halves(of: 'remote' | 'local'): Fragment {
  const end = anyOf({ type: 'integer', minimum: 0, maximum: 65_535 }, TEXT);
  const noProxy = { allOf: [TEXT, { not: { enum: ['socks'] } }] };
  const pair = (target: Fragment, more: Fragment = {}) =>
    mappingOf({ listen: end, target, ...more }, ['listen', 'target']);
  if (of === 'local') return pair(noProxy);
  return anyOf(pair(TEXT), pair(noProxy, { proxyProtocol: { enum: PROXY_PROTOCOLS } }));
}

function serverList(): Fragment {
  const entry = anyOf(text('^\\S+$'), mappingOf(references(ENTRY_OPTIONS), ['host']));
  return { type: 'array', minItems: 1, maxItems: MAX_SERVERS, items: entry };
}

function serversBy(mode: 'failover' | 'all', more: Fragment): Fragment {
  return mappingOf({ [mode]: serverList(), ...more }, [mode]);
}

/** A jump host. */
function hop(): Fragment {
  return mappingOf(references(SERVER_OPTIONS), ['host']);
}
