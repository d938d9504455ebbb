import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Shared } from './shared.ts';

/** The daemon itself, and the commands that people give while it runs. */
export function addDailyCommands(program: Command, shared: Shared): void {
  for (const add of [addRun, addCheck, addStatus, addHistory, addLogs, addReload, addApply, addConfirm, addRetry])
    add(program, shared);
}

function addRun(program: Command, { run, config, sshArguments }: Shared): void {
  program
    .command('run')
    .description('run the daemon in the foreground: on a configuration, or on what ssh or autossh was given')
    .usage('[--config <file>] [--strict] | [--print-config] [options of ssh] [user@]host')
    .option('--print-config', 'write the configuration that the options of ssh mean, and end')
    .option('--strict', 'do not start on the last configuration that worked where the file is not valid')
    .argument('[ssh...]', 'options of ssh(1) or autossh(1), and the server')
    .action(
      run(async (_: string[], options: { printConfig?: boolean; strict?: boolean }) =>
        (await import('../commands/run.ts')).run(config(), sshArguments, {
          printOnly: options.printConfig === true,
          strict: options.strict === true,
        }),
      ),
    );
}

function addCheck(program: Command, { run, config }: Shared): void {
  program
    .command('check')
    .description('read the configuration and list everything that is wrong with it')
    .action(run(async () => (await import('../commands/check.ts')).check(config())));
}

function addStatus(program: Command, { run, config }: Shared): void {
  program
    .command('status')
    .description('show what every tunnel does, or one')
    .argument('[name]', 'a tunnel')
    .option('--json', 'one JSON document')
    .option('--watch', 'again and again until Ctrl-C')
    .action(
      run(async (name: string | undefined, options: { json?: boolean; watch?: boolean }) =>
        (await import('../commands/status.ts')).status(config(), name ?? null, {
          json: options.json === true,
          watch: options.watch === true,
        }),
      ),
    );
}

function addHistory(program: Command, { run, config }: Shared): void {
  program
    .command('history')
    .description('show the outages of every tunnel, or of one, and for how much of the time it was up')
    .argument('[name]', 'a tunnel')
    .option('--since <time>', 'list outages of this time up to now', '30d')
    .option('--json', 'print one JSON document')
    .action(
      run(async (name: string | undefined, options: { since: string; json?: boolean }) =>
        (await import('../commands/history.ts')).history(config(), name ?? null, {
          since: options.since,
          json: options.json === true,
        }),
      ),
    );
}

function addLogs(program: Command, { run, config }: Shared): void {
  program
    .command('logs')
    .description('show the last lines of the log')
    .argument('[name]', 'a tunnel')
    .option('-f, --follow', 'go on with new lines until Ctrl-C')
    .option('-n, --lines <number>', 'how many lines', wholeNumber, 50)
    .option('--json', 'the lines as they were written')
    .action(
      run(async (name: string | undefined, options: { follow?: boolean; lines: number; json?: boolean }) =>
        (await import('../commands/logs.ts')).logs(config(), name ?? null, {
          follow: options.follow === true,
          lines: options.lines,
          json: options.json === true,
        }),
      ),
    );
}

function addReload(program: Command, { run, config }: Shared): void {
  program
    .command('reload')
    .description('apply the configuration file; tunnels that did not change stay up')
    .argument('[name]', 'a tunnel that runs on a command line: what ssh_config says of it is read anew')
    .option('--keys-only', 'as root, hand new keys to the service, and nothing else')
    .action(
      run(async (name: string | undefined, options: { keysOnly?: boolean }) =>
        (await import('../commands/reload.ts')).reload(config(), name ?? null, options.keysOnly === true),
      ),
    );
}

function addApply(program: Command, { run, config }: Shared): void {
  program
    .command('apply')
    .description(
      'try a configuration out: it takes the place of the one that runs if its tunnels come up, else nothing changes',
    )
    .argument('<file>', 'the new configuration')
    .option('--confirm <time>', 'go back after that time (5m) unless "tunneld confirm" is said')
    .action(
      run(async (file: string, options: { confirm?: string }) =>
        (await import('../commands/apply.ts')).apply(config(), file, options.confirm ?? null),
      ),
    );
}

function addConfirm(program: Command, { run, config }: Shared): void {
  program
    .command('confirm')
    .description('keep the configuration that "tunneld apply --confirm" tries out')
    .action(run(async () => (await import('../commands/confirm.ts')).confirm(config())));
}

function addRetry(program: Command, { run, config }: Shared): void {
  program
    .command('retry')
    .description('try again now instead of waiting')
    .argument('[name]', 'a tunnel')
    .option('--take', 'and take the listeners of this tunnel, also where they led to another device')
    .action(
      run(async (name: string | undefined, { take }: { take?: boolean }) =>
        (await import('../commands/retry.ts')).retry(config(), name ?? null, take === true),
      ),
    );
}

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return Number(text);
}
