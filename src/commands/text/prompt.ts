import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { Person } from '../../connection/auth/person.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { escapeLines } from '../../lib/text.ts';
import { UserError, wrongUsage } from '../../lib/user-error.ts';
import { report } from './report.ts';

/** There is a question and no terminal. The message says how to answer beforehand; `question` is what has to be read for that, or null. */
export class NoTerminalError extends UserError {
  constructor(question: string | null, otherwise: string) {
    super(`there is no terminal to ask${question === null ? ' on: ' : `: ${question}\n`}${otherwise}`, EXIT.usage);
  }
}

export interface Questions {
  readonly interactive: boolean;
  /** Whether everything is confirmed without a question. */
  readonly yes: boolean;
  /** The answer, or `fallback` for an empty one. `otherwise` says what a script has to do. */
  ask(question: string, fallback: string | null, otherwise?: string): Promise<string>;
  confirm(question: string): Promise<boolean>;
  /** Who types passwords; null without a terminal. */
  readonly person: Person | null;
}

/** Does work that asks on the terminal, as long as it lasts. `yes` confirms everything. */
export async function withQuestions<T>(yes: boolean, work: (questions: Questions) => Promise<T>): Promise<T> {
  const { close, ...questions } = createQuestions(yes);
  try {
    return await work(questions);
  } finally {
    close();
  }
}

function createQuestions(yes: boolean): Questions & { close(): void } {
  const screen = new Screen();
  const closed = new AbortController();
  // Without a history: what is typed is kept nowhere, and no key brings a password back.
  const terminal =
    process.stdin.isTTY && process.stderr.isTTY
      ? createInterface({ input: process.stdin, output: screen, terminal: true, historySize: 0 })
      : null;
  // The terminal gives Ctrl-C to readline, which only stops asking: it has to end what runs between the questions, too.
  terminal?.once('SIGINT', () => {
    terminal.close();
    process.kill(process.pid, 'SIGINT');
  });
  terminal?.once('close', () => closed.abort());
  const typed = async (shown: string): Promise<string> => {
    try {
      return await terminal!.question(shown, { signal: closed.signal });
    } catch (error) {
      throw closed.signal.aborted ? new UserError('the terminal was closed: nothing more was done') : error;
    }
  };
  /** `shown` is the question as it is printed. */
  const put = async (shown: string, fallback: string | null, noTerminal: () => NoTerminalError) => {
    if (terminal === null) throw noTerminal();
    for (;;) {
      const answer = (await typed(shown)).trim();
      if (answer !== '') return answer;
      if (fallback !== null) return fallback;
    }
  };
  const answerSecretly = async (prompt: string) => {
    process.stderr.write(prompt);
    screen.muted = true;
    try {
      return await typed('');
    } finally {
      screen.muted = false;
      process.stderr.write('\n');
    }
  };
  const ask: Questions['ask'] = (question, fallback, otherwise = 'give all arguments (see --help)') =>
    put(
      `${question}${fallback === null || fallback === '' ? '' : ` [${fallback}]`}: `,
      fallback,
      () => new NoTerminalError(null, otherwise),
    );
  const confirm = (question: string) => {
    const asked = () => put(`${question} [y/N]: `, 'n', () => new NoTerminalError(question, 'confirm it with --yes'));
    return untilRead(asked, yesOrNo);
  };
  return {
    interactive: terminal !== null,
    yes,
    ask,
    confirm: async (question) => yes || (await confirm(question)),
    person:
      terminal === null
        ? null
        : {
            answer: (prompt, secret) => {
              const shown = `${escapeLines(prompt.trimEnd())} `;
              return secret ? answerSecretly(shown) : typed(shown);
            },
          },
    close: () => terminal?.close(),
  };
}

/**
 * What a person answers, as `read` understands it. Where that throws a UserError, its message is printed and the question is asked again:
 * a few times, after which the error is the command's.
 */
export async function askFor<T>(
  ask: Questions['ask'],
  question: string,
  fallback: string | null,
  read: (answer: string) => T | Promise<T>,
  otherwise?: string,
): Promise<T> {
  return await untilRead(() => ask(question, fallback, otherwise), read);
}

async function untilRead<T>(ask: () => Promise<string>, read: (answer: string) => T | Promise<T>): Promise<T> {
  for (let left = TRIES; ; left -= 1) {
    const answer = await ask();
    try {
      return await read(answer);
    } catch (error) {
      if (!(error instanceof UserError) || left <= 1) throw error;
      report(error.message);
    }
  }
}

/** What answers without reading the questions comes to an end. */
const TRIES = 5;

function yesOrNo(answer: string): boolean {
  if (/^y(?:es)?$/i.test(answer)) return true;
  if (/^no?$/i.test(answer)) return false;
  throw wrongUsage(`${JSON.stringify(answer)} is neither yes nor no`);
}

export async function confirmOnce(yes: boolean, question: string): Promise<boolean> {
  return await withQuestions(yes, ({ confirm }) => confirm(question));
}

/** The terminal, which shows nothing of what is typed while it is muted: readline has turned the terminal's own echo off. */
class Screen extends Writable {
  muted = false;

  get columns(): number {
    return process.stderr.columns;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.muted) process.stderr.write(chunk);
    done();
  }
}
