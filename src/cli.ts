import { keepDebuggerClosed } from './lib/debugger.ts';
import { EXIT } from './lib/exit-code.ts';
import { tooOld } from './lib/node-version.ts';
import { ignoreStraySignals } from './lib/stray-signals.ts';

if (process.argv[2] === 'run') ignoreStraySignals();
void start();

async function start(): Promise<void> {
  await keepDebuggerClosed();
  let lost: NodeJS.ErrnoException | null = null;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that goes away (`tunneld logs | head`) is no error of ours.
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    lost ??= error;
  });
  // What a command does is not left half done where the output is gone.
  process.stderr.on('error', () => {});
  const problem = tooOld(process.versions.node);
  if (problem !== null) {
    process.stderr.write(`tunneld: ${problem}\n`);
    process.exit(EXIT.failed);
  }
  // Only now, since an old Node.js may not even understand the rest.
  const { main } = await import('./program/main.ts');
  // Not by running out of work: nothing that is still open may hold the end of a command.
  const code = await main(process.argv.slice(2));
  // A long answer may still be on its way into a pipe whose reader is slow.
  await new Promise((resolve) => process.stdout.write('', resolve));
  const ofOutput = codeOfOutput(lost);
  process.exit(code === EXIT.ok ? ofOutput : code);
}

/** A script that is cut off on a full disk must not pass for a whole one. */
function codeOfOutput(error: Error | null): number {
  if (error === null) return EXIT.ok;
  process.stderr.write(`tunneld: standard output cannot be written, and is not complete: ${error.message}\n`);
  return EXIT.failed;
}
