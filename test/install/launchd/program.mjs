// What stands for the program in tests of its installation: the sources of the two commands, as somebody who is not root, and for
// `run` the built program. Carrying out is what those commands are given.
import { readFileSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';

const [, , command, ...args] = process.argv;
if (command === 'run') await import(new URL('../../../dist/cli.js', import.meta.url).href);

// The program that was built says the same.
globalThis.TUNNELD_VERSION = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
).version;
const { register } = await import('tsx/esm/api');
register();
const { systemEnvironment } = await import('../../../src/config/input/environment.ts');
const { installLaunchd } = await import('../../../src/commands/service/install-launchd.ts');
const { exitCodeOf } = await import('../../../src/program/error-boundary.ts');
const { uninstallLaunchd } = await import('../../../src/commands/service/uninstall-launchd.ts');

const caller = { ...systemEnvironment(), uid: 501, userName: 'me' };
const dryRun = args.includes('--dry-run');
const options = {
  config: null,
  user: !args.includes('--system'),
  dryRun,
  start: true,
  purge: args.includes('--purge'),
  yes: args.includes('--yes'),
};
process.exit(
  await (command === 'install' ? installLaunchd : uninstallLaunchd)(options, carryOut, caller).then(
    () => 0,
    exitCodeOf,
  ),
);

async function carryOut(steps) {
  for (const step of steps) {
    process.stdout.write(`${JSON.stringify(step)}\n`);
    if (dryRun) continue;
    if (step.type === 'directory') await mkdir(step.path, { recursive: true, mode: step.mode });
    const isNew =
      step.type === 'file' &&
      step.content !== null &&
      step.content !== (await readFile(step.path, 'utf8').catch(() => null));
    if (isNew) await writeFile(step.path, step.content);
    if (step.type === 'file') await chmod(step.path, step.mode);
    if (step.type === 'remove') await rm(step.path, { recursive: true, force: true });
  }
}
