import { runDemo } from '../demo/demo.ts';
import { EXIT } from '../lib/exit-code.ts';
import { wantsColour } from './text/color.ts';

/** Runs the demo until Ctrl-C. */
export async function demo(): Promise<number> {
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort());
  const healed = await runDemo({
    tunneld: [process.execPath, ...process.execArgv, process.argv[1]!],
    colour: wantsColour(),
    print: (text) => process.stdout.write(`${text}\n`),
    signal: interruption.signal,
  });
  return healed ? EXIT.ok : EXIT.failed;
}
