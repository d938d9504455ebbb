// Stands for the program in tests of its installation: the two commands and `init --from` as `from`, as called by a user who is not root, and for
// `run` the daemon. It performs the steps that those commands are given. Each loads what it needs, from the code cache, as the program does.
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { ConfigEnvironment } from '../../../src/config/input/environment.ts';
import type { Step } from '../../../src/install/steps/step.ts';

const [, , command, ...args] = process.argv;
const dryRun = args.includes('--dry-run');

void start();

async function start(): Promise<void> {
  if (command === 'run') {
    await import('../../../src/cli.ts'); // it ends the process
    return;
  }
  const [{ systemEnvironment }, { exitCodeOf }] = await Promise.all([
    import('../../../src/config/input/environment.ts'),
    import('../../../src/program/error-boundary.ts'),
  ]);
  const caller = { ...systemEnvironment(), uid: 501, userName: 'me' };
  process.exit(await carriedOut(caller).catch(exitCodeOf));
}

async function carriedOut(caller: ConfigEnvironment): Promise<number> {
  const options = {
    user: !args.includes('--system'),
    dryRun,
    start: true,
    purge: args.includes('--purge'),
    yes: args.includes('--yes'),
  };
  if (command === 'from') {
    const [{ withQuestions }, { initFromLaunchd }, { Outcome }] = await Promise.all([
      import('../../../src/commands/text/prompt.ts'),
      import('../../../src/commands/setup/init/from-launchd.ts'),
      import('../../../src/commands/setup/init/outcome.ts'),
    ]);
    return await withQuestions(true, (questions) =>
      initFromLaunchd('autossh', options, questions, new Outcome(), caller, carryOut),
    );
  }
  if (command === 'install') {
    const { installLaunchd } = await import('../../../src/commands/service/install-launchd.ts');
    await installLaunchd(null, options, carryOut, caller);
  } else {
    const { uninstallLaunchd } = await import('../../../src/commands/service/uninstall-launchd.ts');
    await uninstallLaunchd(null, options, carryOut, caller);
  }
  return 0;
}

async function carryOut(steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    process.stdout.write(`${JSON.stringify(step)}\n`);
    if (!dryRun) await perform(step);
  }
}

async function perform(step: Step): Promise<void> {
  if (step.type === 'directory') await mkdir(step.path, { recursive: true, mode: step.mode });
  if (step.type === 'file') {
    if (step.content !== null && step.content !== (await readFile(step.path, 'utf8').catch(() => null)))
      await writeFile(step.path, step.content);
    await chmod(step.path, step.mode);
  }
  if (step.type === 'remove') await rm(step.path, { recursive: true, force: true });
}
