import { createInterface } from 'node:readline/promises';
import { EXIT } from '../../lib/exit-code.ts';
import { UserError } from '../../lib/user-error.ts';

/** There is a question and no terminal. The message says how to answer beforehand. */
export class NoTerminalError extends UserError {
  constructor(question: string, otherwise: string) {
    super(`there is no terminal to ask: ${question}\n${otherwise}`, EXIT.usage);
  }
}

export interface Questions {
  /** The answer, or `fallback` for an empty one. `otherwise` says what a script has to do. */
  ask(question: string, fallback: string | null, otherwise?: string): Promise<string>;
  confirm(question: string): Promise<boolean>;
  close(): void;
}

/** Asks on the terminal. `yes` confirms everything. */
export function createQuestions(yes: boolean): Questions {
  const terminal =
    process.stdin.isTTY && process.stderr.isTTY
      ? createInterface({ input: process.stdin, output: process.stderr })
      : null;
  // The terminal gives Ctrl-C to readline, which only stops asking: it has to end what runs between the questions, too.
  terminal?.once('SIGINT', () => {
    terminal.close();
    process.kill(process.pid, 'SIGINT');
  });
  /** `shown` is the question as it is printed. */
  const put = async (question: string, fallback: string | null, otherwise: string, shown: string) => {
    if (terminal === null) throw new NoTerminalError(question, otherwise);
    for (;;) {
      const answer = (await terminal.question(shown)).trim();
      if (answer !== '') return answer;
      if (fallback !== null) return fallback;
    }
  };
  const ask: Questions['ask'] = (question, fallback, otherwise = 'give it in the arguments (see --help)') =>
    put(question, fallback, otherwise, `${question}${fallback === null ? '' : ` [${fallback}]`}: `);
  return {
    ask,
    confirm: async (question) =>
      yes || /^y(?:es)?$/i.test(await put(question, 'n', 'confirm it with --yes', `${question} [y/N]: `)),
    close: () => terminal?.close(),
  };
}
