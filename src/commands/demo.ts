import { runDemo } from '../demo/demo.ts';
import { EXIT } from './text/exit-code.ts';
import { wantsColour } from './text/color.ts';

/** Runs until Ctrl-C. */
export async function demo(): Promise<number> {
  const interrupted = new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  const healed = await runDemo({
    tunneld: [process.execPath, ...process.execArgv, process.argv[1]!],
    colour: wantsColour(),
    print: (text) => process.stdout.write(`${text}\n`),
    interrupted,
  });
  return healed ? EXIT.ok : EXIT.failed;
}
