import type { Command } from 'commander';
import type { Shared } from './shared.ts';

/** What makes tunneld a service of the system, and what takes it away again. */
export function addServiceCommands(program: Command, { run, config }: Shared): void {
  program
    .command('install')
    .description('make tunneld a service that starts with the system; --config names a configuration to copy')
    .option('--user', 'a service of your own, without root')
    .option('--dry-run', 'show every file and command, and change nothing')
    .option('--no-start', 'do not start it now')
    .option('--yes', 'take over from a unit that runs ssh or autossh without asking')
    .action(
      run(async (options: { user?: boolean; dryRun?: boolean; start: boolean; yes?: boolean }) =>
        (await import('../commands/install.ts')).install(config(), {
          user: options.user === true,
          dryRun: options.dryRun === true,
          start: options.start,
          yes: options.yes === true,
        }),
      ),
    );
  program
    .command('uninstall')
    .description('take the service away; configuration, keys and state stay')
    .option('--user', 'the service of your own')
    .option('--purge', 'remove configuration, keys, state and user, too')
    .option('--dry-run', 'show what would be removed, and change nothing')
    .option('--yes', 'remove it without asking')
    .action(
      run(async (options: { user?: boolean; purge?: boolean; dryRun?: boolean; yes?: boolean }) =>
        (await import('../commands/uninstall.ts')).uninstall(config(), {
          user: options.user === true,
          purge: options.purge === true,
          dryRun: options.dryRun === true,
          yes: options.yes === true,
        }),
      ),
    );
}
