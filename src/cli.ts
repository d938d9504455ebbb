import { keepDebuggerClosed } from './lib/debugger.ts';
import { EXIT } from './lib/exit-code.ts';
import { tooOld } from './lib/node-version.ts';
import { ignoreStraySignals } from './lib/stray-signals.ts';

if (process.argv[2] === 'run') ignoreStraySignals();
await keepDebuggerClosed();
// A reader that goes away (`tunneld logs | head`) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
});
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
process.exit(code);
