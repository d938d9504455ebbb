import { createInterface } from 'node:readline/promises';

/** There is something to answer and no terminal. The message says how to answer beforehand. */
export class NoTerminalError extends Error {}

export interface Questions {
  /** The answer, or `usual` for an empty one. `instead` tells a script what to do. */
  ask(question: string, fallback: string | null, otherwise?: string): Promise<string>;
  confirm(question: string): Promise<boolean>;
  close(): void;
}

/** Asks on the terminal. `yes` confirms everything that is to be confirmed. */
export function createQuestions(yes: boolean): Questions {
  const terminal =
    process.stdin.isTTY && process.stderr.isTTY
      ? createInterface({ input: process.stdin, output: process.stderr })
      : null;
  // The terminal gives Ctrl-C to readline, which only stops asking: it is to end what goes on between the questions, too.
  terminal?.once('SIGINT', () => {
    terminal.close();
    process.kill(process.pid, 'SIGINT');
  });
  /** `shown` is how the question stands on the terminal. */
  const put = async (question: string, fallback: string | null, otherwise: string, shown: string) => {
    if (terminal === null) throw new NoTerminalError(`there is no terminal to ask: ${question}\n${otherwise}`);
    for (;;) {
      const answer = (await terminal.question(shown)).trim();
      if (answer !== '') return answer;
      if (fallback !== null) return fallback;
    }
  };
  const ask: Questions['ask'] = (question, fallback, otherwise = 'say it in the arguments (see --help)') =>
    put(question, fallback, otherwise, `${question}${fallback === null ? '' : ` [${fallback}]`}: `);
  return {
    ask,
    confirm: async (question) =>
      yes || /^y(?:es)?$/i.test(await put(question, 'n', 'or confirm it with --yes', `${question} [y/N]: `)),
    close: () => terminal?.close(),
  };
}
