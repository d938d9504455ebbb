import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import type { Definitions } from './definitions.ts';

/** The daemon itself, and the commands that people give while it runs. */
export function addDailyCommands(program: Command, definitions: Definitions): void {
  addRun(program, definitions);
  addViews(program, definitions);
  addControls(program, definitions);
}

function addRun(program: Command, { run, sshArguments }: Definitions): void {
  run(
    program
      .command('run')
      .description('run the daemon in the foreground, on a configuration or on the arguments of ssh or autossh')
      .usage('[--config <file>] [--strict] | [--print-config] [options of ssh] [user@]host')
      .option('--print-config', 'print the configuration that the options of ssh mean, and exit')
      .option('--strict', 'refuse to start on the last configuration that worked where the file is not valid')
      .argument('[ssh...]', 'options of ssh(1) or autossh(1), and the server'),
    async () => {
      const command = await import('../commands/daemon/run.ts');
      return (config, _, options) => command.run(config, sshArguments, options);
    },
  );
  run(
    program.command('check').description('read the configuration and list everything that is wrong with it'),
    async () => (await import('../commands/checks/check.ts')).check,
  );
}

/** What they show. */
function addViews(program: Command, { run }: Definitions): void {
  run(
    program
      .command('status')
      .description('show the state of every tunnel, or of one')
      .argument('[name]', 'a tunnel')
      .option('--json', 'print one JSON document')
      .addOption(
        new Option('--prometheus', 'print metrics for the textfile collector of node_exporter').conflicts([
          'json',
          'check',
          'watch',
        ]),
      )
      .addOption(
        new Option('--check', 'print one line and exit as a plugin of Nagios does').conflicts(['json', 'watch']),
      )
      .option('--watch', 'show it again every second until q or Ctrl-C; with --json, print one document a line'),
    async ({ check, prometheus }) => {
      if (check) return (await import('../commands/daemon/status-check.ts')).checkStatus;
      if (prometheus) return (await import('../commands/daemon/status-metrics.ts')).printMetrics;
      return (await import('../commands/daemon/status.ts')).status;
    },
  );
  run(
    program
      .command('history')
      .description('show the outages of every tunnel, or of one, and for how much of the time it was up')
      .argument('[name]', 'a tunnel')
      .option('--since <time>', 'list the outages from this long ago until now', '30d')
      .option('--json', 'print one JSON document'),
    async () => (await import('../commands/daemon/history.ts')).history,
  );
  run(
    program
      .command('page')
      .description('print the address of the page that shows all of it in a browser, with a link that lets one in'),
    async () => (await import('../commands/daemon/page.ts')).page,
  );
  run(
    program
      .command('logs')
      .description('print the last lines of the log')
      .argument('[name]', 'a tunnel')
      .option('-f, --follow', 'go on with new lines until Ctrl-C')
      .option('-n, --lines <number>', 'print this many lines', wholeNumber, 50)
      .option('--json', 'print the lines as they were written'),
    async () => (await import('../commands/daemon/logs.ts')).logs,
  );
}

/** What they have it do. */
function addControls(program: Command, { run }: Definitions): void {
  run(
    program
      .command('reload')
      .description('apply the configuration file; tunnels that did not change stay up')
      .argument('[name]', 'a tunnel that runs on a command line, whose ssh_config is read again')
      .option('--keys-only', 'hand new keys to the service as root, and do nothing else'),
    async () => (await import('../commands/daemon/reload.ts')).reload,
  );
  run(
    program
      .command('apply')
      .description('try a configuration: replace the running one if all its tunnels come up, else change nothing')
      .argument('<file>', 'the new configuration')
      .option('--confirm <time>', 'roll back after this time (such as 5m) unless you run "tunneld confirm"'),
    async () => (await import('../commands/daemon/apply.ts')).apply,
  );
  run(
    program.command('confirm').description('keep the configuration that "tunneld apply --confirm" is trying'),
    async () => {
      const { confirm } = await import('../commands/daemon/confirm.ts');
      return async (config) => await confirm(config); // what it has besides is no option of the command
    },
  );
  run(
    program
      .command('retry')
      .description('try now instead of waiting')
      .argument('[name]', 'a tunnel')
      .option('--take', 'take the listeners of this tunnel even where they led to another device'),
    async () => (await import('../commands/daemon/retry.ts')).retry,
  );
}

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0 to 99999.');
  return Number(text);
}
