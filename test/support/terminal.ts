import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { until } from './until.ts';

/** A program in a terminal of its own, with what is seen there. */
export interface TestTerminal {
  /** The lines of the screen, without blanks at their ends. */
  screen(): readonly string[];
  /** Whether the alternate screen is shown. */
  isAlternate(): boolean;
  /** Everything that the program wrote. */
  written(): string;
  keys(text: string): void;
  resize(rows: number, columns: number): void;
  untilScreen(condition: (lines: readonly string[]) => boolean, what: string): Promise<readonly string[]>;
  /** The exit code. */
  readonly ended: Promise<number | null>;
}

export function startInTerminal(
  t: TestContext,
  { rows, columns, env = {} }: { readonly rows: number; readonly columns: number; readonly env?: NodeJS.ProcessEnv },
  ...command: string[]
): TestTerminal {
  const child = spawn('/usr/bin/python3', [HOST, String(rows), String(columns), ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TERM: 'xterm-256color', ...env },
  });
  child.stdin.on('error', () => {});
  t.after(() => child.kill('SIGKILL'));
  let written = '';
  const terminal = createScreen(rows, columns);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written += text;
    terminal.write(text);
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const order = (what: object) => void child.stdin.write(`${JSON.stringify(what)}\n`);
  return {
    screen: terminal.lines,
    isAlternate: terminal.isAlternate,
    written: () => written,
    keys: (keys) => order({ keys }),
    resize: (...size) => {
      terminal.resize(...size);
      order({ size });
    },
    untilScreen: async (condition, what) => {
      await until(() => condition(terminal.lines()), {
        what: () => `${what}; the screen:\n${terminal.lines().join('\n')}`,
      });
      return terminal.lines();
    },
    ended,
  };
}

const HOST = fileURLToPath(new URL('terminal.py', import.meta.url));

/** As much of a terminal as is needed to see what a program draws: any other control sequence is an error. */
function createScreen(rows: number, columns: number) {
  const blank = (): Page => ({ cells: Array.from({ length: rows }, () => [] as string[]), row: 0, column: 0 });
  let normal = blank();
  let page = normal;
  let wraps = true;
  let rest = '';

  const nextLine = () => {
    page.row += 1;
    if (page.row < rows) return;
    page.cells.shift();
    page.cells.push([]);
    page.row = rows - 1;
  };
  const put = (char: string) => {
    if (page.column >= columns) {
      if (wraps) {
        nextLine();
        page.column = 0;
      } else page.column = columns - 1;
    }
    page.cells[page.row]![page.column] = char;
    page.column += 1;
  };
  const controls: Readonly<Record<string, () => void>> = {
    '\r': () => (page.column = 0),
    '\n': nextLine,
    '\u001b[H': () => Object.assign(page, { row: 0, column: 0 }),
    // Where a line is full, the cursor is still in its last cell.
    '\u001b[K': () => page.cells[page.row]!.splice(Math.min(page.column, columns - 1)),
    '\u001b[J': () => {
      page.cells[page.row]!.splice(Math.min(page.column, columns - 1));
      for (const line of page.cells.slice(page.row + 1)) line.length = 0;
    },
    '\u001b[?1049h': () => (page = blank()),
    '\u001b[?1049l': () => (page = normal),
    '\u001b[?7l': () => (wraps = false),
    '\u001b[?7h': () => (wraps = true),
    '\u001b[?25l': () => {},
    '\u001b[?25h': () => {},
    '\u001b[?2026h': () => {},
    '\u001b[?2026l': () => {},
  };
  return {
    write: (text: string) => {
      rest += text;
      for (let token = TOKEN.exec(rest)?.[0]; token !== undefined; token = TOKEN.exec(rest)?.[0]) {
        rest = rest.slice(token.length);
        const control = controls[token];
        if (control !== undefined) control();
        else if (/^[\u0000-\u001f]/.test(token)) {
          if (!/^\u001b\[\d+m$/.test(token)) throw new Error(`unknown to this terminal: ${JSON.stringify(token)}`);
        } else put(token);
      }
    },
    lines: () =>
      page.cells.map((line) =>
        Array.from(line, (char) => char ?? ' ')
          .join('')
          .trimEnd(),
      ),
    isAlternate: () => page !== normal,
    resize: (newRows: number, newColumns: number) => {
      [rows, columns] = [newRows, newColumns];
      for (const one of new Set([normal, page])) {
        one.cells = Array.from({ length: rows }, (_, index) => (one.cells[index] ?? []).slice(0, columns));
        one.row = Math.min(one.row, rows - 1);
      }
    },
  };
}

interface Page {
  cells: string[][];
  row: number;
  column: number;
}

/** A whole control sequence, or a character; not the beginning of a sequence. */
const TOKEN = /^(?:\u001b\[[?\d;]*[a-zA-Z]|[^\u001b])/u;
