import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import { printable } from '../lib/text.ts';
import type { Path } from './mapping.ts';
import { type SyntaxProblem, syntaxProblem } from './syntax.ts';

/** A YAML file as values, with the way back from a value to its place in the text. */
export interface SourceDocument {
  /** What the file says; undefined where it is too broken to say anything. */
  readonly value: unknown;
  readonly problems: readonly (Position & { readonly message: string })[];
  locate(path: Path, at: 'key' | 'value'): Located;
}

interface Position {
  readonly line: number;
  readonly column: number;
}

/** A place in the text, and its name for a message (`tunnels.backup.port`). */
interface Located extends Position {
  readonly label: string;
}

/** Reads one YAML document. Aliases are followed, but not so often that a small file becomes a large one. */
export function readDocument(text: string): SourceDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true, uniqueKeys: true });
  const errors = [...document.errors, ...document.warnings];
  const found = errors.length > 0 ? firstOfEachLine(errors.map(syntaxProblem), lines) : aliasProblems(document);
  // A key that stands twice leaves the rest readable, so that all other problems can be reported with it.
  const readable = errors.every((error) => error.code === 'DUPLICATE_KEY') && found.length === errors.length;
  const value = readable ? values(document) : null;
  if (value !== null && !value.ok) found.push({ offset: 0, message: TOO_MANY_ALIASES });
  return {
    value: value?.ok ? value.value : undefined,
    problems: found.map(({ offset, message }) => ({ ...position(lines, offset), message })),
    locate: (path, at) => locate(document, lines, path, at),
  };
}

const MAX_ALIASES = 100;
const TOO_MANY_ALIASES = `more than ${MAX_ALIASES} values come from aliases (*name): write them out`;

function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

/** One mistake often makes the parser complain several times about the same line; the first says it best. */
function firstOfEachLine(problems: readonly SyntaxProblem[], lines: LineCounter): SyntaxProblem[] {
  const seen = new Set<number>();
  return problems.filter(({ offset }) => {
    const { line } = lines.linePos(offset);
    return !seen.has(line) && seen.add(line);
  });
}

function aliasProblems(document: Document): SyntaxProblem[] {
  const aliases: SyntaxProblem[] = [];
  const lost: SyntaxProblem[] = [];
  visit(document, {
    Alias(_, alias) {
      const offset = alias.range?.[0] ?? 0;
      aliases.push({ offset, message: TOO_MANY_ALIASES });
      if (aliases.length > MAX_ALIASES) return visit.BREAK;
      if (!alias.resolve(document)) lost.push({ offset, message: UNKNOWN_ALIAS });
      return undefined;
    },
  });
  return aliases.length > MAX_ALIASES ? aliases.slice(-1) : lost;
}

const UNKNOWN_ALIAS =
  "a * at the beginning means an alias in YAML, and there is none of this name: put the value in quotes, like '*:8080:localhost:22'";

function values(document: Document): { ok: true; value: unknown } | { ok: false } {
  try {
    return { ok: true, value: document.toJS({ maxAliasCount: MAX_ALIASES }) };
  } catch {
    // Nothing else is left to fail: the aliases resolve, and only their number is refused.
    return { ok: false };
  }
}

/**
 * Where `path` stands, as far as it exists: a single value is also found as the first of its list.
 * What is empty or missing is found at its key, since it has no place of its own.
 */
function locate(document: Document, lines: LineCounter, path: Path, at: 'key' | 'value'): Located {
  let node = resolved(document, document.contents);
  let key: Node | null = null;
  let label = '';
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.findLast((item) => isScalar(item.key) && item.key.value === step);
      if (!pair) break;
      key = isNode(pair.key) ? pair.key : null;
      node = resolved(document, pair.value);
      label += `${label === '' ? '' : '.'}${printable(String(step), MAX_LABEL)}`;
    } else if (isSeq(node) && typeof step === 'number' && step < node.items.length) {
      key = null;
      node = resolved(document, node.items[step]);
      label += `[${step}]`;
    } else break;
  }
  const empty = !node || (isScalar(node) && node.value === null);
  const place = key && (at === 'key' || empty) ? key : node;
  return { ...position(lines, place?.range?.[0] ?? 0), label: label || 'the file' };
}

/** How much of a key that somebody pasted is repeated. */
const MAX_LABEL = 60;

function resolved(document: Document, node: unknown): Node | null {
  if (isAlias(node)) return node.resolve(document) ?? null;
  return isNode(node) ? node : null;
}
