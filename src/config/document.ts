import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml';
import { orElse } from '../lib/or-else.ts';
import { printable } from '../lib/text.ts';
import type { ConfigProblem } from '../model/config.ts';
import type { Path } from './schema/mapping.ts';
import { findExcess, MAX_ALIASES, TOO_MANY_ALIASES } from './excess.ts';
import { type SyntaxProblem, syntaxProblem } from './syntax.ts';

/** The values of a YAML file, and their positions in the text. */
export interface SourceDocument {
  /** The value of the file; undefined where it cannot be parsed. */
  readonly value: unknown;
  readonly problems: readonly Omit<ConfigProblem, 'file'>[];
  locate(path: Path, at: 'key' | 'value'): Located;
}

type Position = Pick<ConfigProblem, 'line' | 'column'>;

/** A position in the text, and its label for a message (`tunnels.backup.port`). */
interface Located extends Position {
  readonly label: string;
}

/**
 * Parses one YAML document. The number of aliases is limited, so that a small file cannot expand to a large one, and a text that would
 * keep the parser busy is rejected.
 */
export function readDocument(text: string): SourceDocument {
  const excess = findExcess(text);
  if (excess !== null)
    return { value: undefined, problems: [excess], locate: () => ({ ...excess, label: 'the file' }) };
  const lines = new LineCounter();
  // The parser's own check of unique keys is quadratic.
  const options = { lineCounter: lines, prettyErrors: false, stringKeys: true, uniqueKeys: false };
  const document = parseDocument(text, options);
  const errors = [...document.errors, ...document.warnings].map((error) => syntaxProblem(error, text));
  const lost = errors.length > 0 ? errors : lostAliases(document);
  const found = lost.length > 0 ? null : values(document);
  // A duplicate key leaves the rest readable, so that all other problems can be reported too.
  const flaws = firstOfEachLine([...lost, ...duplicateKeys(document)], lines);
  if (lost.length === 0 && found === null) flaws.push({ offset: 0, message: TOO_MANY_ALIASES });
  return {
    value: found?.value,
    problems: flaws.map(({ offset, message }) => ({ ...position(lines, offset), message })),
    locate: (path, at) => locate(document, lines, path, at),
  };
}

function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

/** A mistake often causes several errors in the same line, of which the first is the clearest. */
function firstOfEachLine(problems: readonly SyntaxProblem[], lines: LineCounter): SyntaxProblem[] {
  const seen = new Set<number>();
  return problems
    .toSorted((a, b) => a.offset - b.offset)
    .filter(({ offset }) => {
      const { line } = lines.linePos(offset);
      return !seen.has(line) && seen.add(line);
    });
}

function duplicateKeys(document: Document): SyntaxProblem[] {
  const found: SyntaxProblem[] = [];
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) found.push({ offset: key.range?.[0] ?? 0, message: ADVICE_DUPLICATE });
        seen.add(key.value);
      }
    },
  });
  return found;
}

const ADVICE_DUPLICATE = 'duplicate key: it is set before in the same mapping';

function lostAliases(document: Document): SyntaxProblem[] {
  const lost: SyntaxProblem[] = [];
  visit(document, {
    Alias(_, alias) {
      if (!alias.resolve(document)) lost.push({ offset: alias.range?.[0] ?? 0, message: UNKNOWN_ALIAS });
    },
  });
  return lost;
}

const UNKNOWN_ALIAS =
  "a leading * is an alias in YAML, and none of this name exists: put the value in quotes, like '*:8080:localhost:22'";

/** Null where there are too many aliases; nothing else can fail here, as all of them resolve. */
function values(document: Document): { readonly value: unknown } | null {
  return orElse(() => ({ value: document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown }), null);
}

/**
 * The position of `path`, as far as it exists: a single value is also the first of its list. An empty or missing value is located at
 * its key.
 */
function locate(document: Document, lines: LineCounter, path: Path, at: 'key' | 'value'): Located {
  let found: Step = { key: null, node: resolved(document, document.contents), label: '' };
  for (const step of path) {
    const next = stepInto(document, found, step);
    if (next === null) break;
    found = next;
  }
  const { key, node, label } = found;
  const empty = !node || (isScalar(node) && node.value === null);
  const target = key && (at === 'key' || empty) ? key : node;
  return { ...position(lines, target?.range?.[0] ?? 0), label: label || 'the file' };
}

/** The node at a step of a path, with its key in a mapping. */
interface Step {
  readonly key: Node | null;
  readonly node: Node | null;
  readonly label: string;
}

function stepInto(document: Document, { node, label }: Step, step: string | number): Step | null {
  if (isMap(node)) {
    const pair = pairsOf(node).get(step);
    if (!pair) return null;
    const key = isNode(pair.key) ? pair.key : null;
    const name = printable(String(step), MAX_LABEL);
    return { key, node: resolved(document, pair.value), label: label === '' ? name : `${label}.${name}` };
  }
  if (!isSeq(node) || typeof step !== 'number' || step >= node.items.length) return null;
  return { key: null, node: resolved(document, node.items[step]), label: `${label}[${step}]` };
}

/** Indexed, because a file can have problems with thousands of keys. */
function pairsOf(map: YAMLMap): ReadonlyMap<unknown, Pair> {
  const index = () => new Map(map.items.flatMap((pair) => (isScalar(pair.key) ? [[pair.key.value, pair]] : [])));
  const pairs = indexes.get(map) ?? index();
  indexes.set(map, pairs);
  return pairs;
}

const indexes = new WeakMap<YAMLMap, ReadonlyMap<unknown, Pair>>();

/** The length to which a key is repeated in messages. */
const MAX_LABEL = 60;

function resolved(document: Document, node: unknown): Node | null {
  if (isAlias(node)) return node.resolve(document) ?? null;
  return isNode(node) ? node : null;
}
