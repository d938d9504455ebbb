import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Prints how much of each room of src ran, from what V8 noted of all processes of the tests (NODE_V8_COVERAGE), the daemon's too:
 * `node coverage.js FOLDER`. Both the chunks of the tests and the bundle need their source maps beside them; of the bundle a copy counts too,
 * wherever it was installed. What a process did that was ended by SIGKILL is not counted, nor what ran through tsx.
 */
const root = join(import.meta.dirname, '..');
const COMPILED = join(root, 'node_modules/.cache/tunneld-tests');
const DIST = join(root, 'dist');

/** Of a generated file, by its path: which of its characters ran. */
const ran = new Map<string, Uint8Array>();

/** Of a source, by its path: its lines that have code, and whether they ran. */
const lines = new Map<string, Map<number, boolean>>();

interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
  }[];
}

/** A process that was killed while it wrote leaves half a file. */
function readScripts(file: string): readonly ScriptCoverage[] {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as { readonly result: readonly ScriptCoverage[] }).result;
  } catch {
    return [];
  }
}

function note(scripts: readonly ScriptCoverage[]): void {
  for (const { url, functions } of scripts) {
    const path = url.startsWith('file:') ? generatedFile(fileURLToPath(url)) : '';
    if (!existsSync(`${path}.map`)) continue;
    const all = ran.get(path) ?? new Uint8Array(readFileSync(path, 'utf8').length);
    ran.set(path, all);
    const now = new Uint8Array(all.length);
    // Outer ranges come before inner ones, which know better.
    for (const { startOffset, endOffset, count } of functions.flatMap(({ ranges }) => ranges))
      now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    for (let index = 0; index < all.length; index++) if (now[index] === 1) all[index] = 1;
  }
}

/** Names of chunks have a hash of what they hold. */
function generatedFile(path: string): string {
  if (path.startsWith(COMPILED)) return path;
  const inBundle = /\/(cli\.js|chunks\/[^/]+)$/.exec(path)?.[1];
  return inBundle === undefined ? '' : join(DIST, inBundle);
}

function generatedFiles(): readonly string[] {
  const below = (path: string) =>
    readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name));
  return [...below(COMPILED), ...below(DIST)]
    .filter((path) => path.endsWith('.js.map'))
    .map((path) => path.slice(0, -'.map'.length));
}

function toLines(file: string): void {
  const { sources, mappings } = JSON.parse(readFileSync(`${file}.map`, 'utf8')) as {
    readonly sources: readonly string[];
    readonly mappings: string;
  };
  const paths = sources.map((source) => relative(root, resolve(dirname(file), source)));
  const characters = ran.get(file);
  const starts = [0];
  for (const { index } of readFileSync(file, 'utf8').matchAll(/\n/g)) starts.push(index + 1);
  for (const { line, column, source, sourceLine } of segmentsOf(mappings)) {
    const path = paths[source] ?? '';
    if (!path.startsWith('src/')) continue;
    const known = lines.get(path) ?? new Map<number, boolean>();
    lines.set(path, known);
    known.set(
      sourceLine,
      known.get(sourceLine) === true || (characters !== undefined && characters[starts[line]! + column] === 1),
    );
  }
}

interface Segment {
  readonly line: number;
  readonly column: number;
  readonly source: number;
  readonly sourceLine: number;
}

/** The mappings of a source map (ECMA-426): lines are parted by `;`, segments by `,`, and most numbers are differences. */
function segmentsOf(mappings: string): readonly Segment[] {
  const segments: Segment[] = [];
  let source = 0;
  let sourceLine = 0;
  for (const [line, text] of mappings.split(';').entries()) {
    let column = 0;
    for (const segment of text === '' ? [] : text.split(',')) {
      const [columns = 0, ...of] = numbersOf(segment);
      column += columns;
      if (of.length === 0) continue;
      source += of[0]!;
      sourceLine += of[1]!;
      segments.push({ line, column, source, sourceLine });
    }
  }
  return segments;
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base 64, five bits a digit, the lowest first; the sixth says that more follow, the lowest of all is the sign. */
function numbersOf(segment: string): readonly number[] {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = DIGITS.indexOf(character);
    value += (digit & 31) * 2 ** shift;
    shift += 5;
    if (digit >= 32) continue;
    numbers.push(value % 2 === 1 ? -(value - 1) / 2 : value / 2);
    value = 0;
    shift = 0;
  }
  return numbers;
}

function print(): void {
  const rooms = new Map<string, [ran: number, all: number]>();
  for (const [path, known] of [...lines].toSorted(([a], [b]) => a.localeCompare(b))) {
    const counts = [[...known.values()].filter(Boolean).length, known.size] as const;
    for (const room of new Set([dirname(path), dirname(path).split('/').slice(0, 2).join('/'), 'src'])) {
      const [some, all] = rooms.get(room) ?? [0, 0];
      rooms.set(room, [some + counts[0], all + counts[1]]);
    }
    if (counts[0] / counts[1] < POOR) console.log(`poor: ${path}, ${percent(...counts)} of ${counts[1]} lines`);
  }
  for (const [room, counts] of [...rooms].toSorted(([a], [b]) => a.localeCompare(b)))
    console.log(`${percent(...counts).padStart(7)} of ${String(counts[1]).padStart(6)} lines ran  ${room}`);
}

/** Files of which less than this part ran are named. */
const POOR = 0.8;

function percent(some: number, all: number): string {
  return `${((100 * some) / all).toFixed(1)} %`;
}

const [folder = ''] = process.argv.slice(2);
for (const name of readdirSync(folder)) note(readScripts(join(folder, name)));
for (const file of generatedFiles()) toLines(file);
print();
