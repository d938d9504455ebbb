import type { Command } from '@commander-js/extra-typings';
import type { Definitions } from './definitions.ts';

/** The commands that make tunneld a service of the system, and remove it. */
export function addServiceCommands(program: Command, { run }: Definitions): void {
  run(
    program
      .command('install')
      .description('make tunneld a service that starts with the system; --config names a configuration to copy')
      .option('--user', 'make it a service of your own, without root')
      .option('--dry-run', 'show every file and command, and change nothing')
      .option('--no-start', 'leave the service stopped for now')
      .option('--yes', 'replace a unit that runs ssh or autossh without asking'),
    async () => (await import('../commands/service/install.ts')).install,
  );
  run(
    program
      .command('uninstall')
      .description('remove the service; configuration, keys and state stay')
      .option('--user', 'remove your own service')
      .option('--purge', 'remove configuration, keys, state and user, too')
      .option('--dry-run', 'show what would be removed, and change nothing')
      .option('--yes', 'remove it without asking'),
    async () => (await import('../commands/service/uninstall.ts')).uninstall,
  );
}
