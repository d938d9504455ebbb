import { Option, type Command } from 'commander';
import type { Shared } from './shared.ts';

/** What makes a tunnel, and what looks whether it is as it should be. */
export function addSetupCommands(program: Command, shared: Shared): void {
  for (const add of [addInit, addDoctor, addTrust, addServerSetup, addAudit, addClientSetup, addDemo])
    add(program, shared);
}

function addInit(program: Command, { run, config }: Shared): void {
  program
    .command('init')
    .description('make a tunnel from nothing: key, host key, configuration, and what the server needs')
    .argument('[server]', '[user@]host[:port]')
    .option('-R <forward>', 'what leads where, such as 8080:localhost:22; may be repeated', collect, [])
    .option('--name <name>', 'what the tunnel is called (default: after the host)')
    .option('--host-key-fingerprint <fingerprint>', 'SHA256:... of the server, as it shows it itself')
    .option('--jump', "let the tunnel's key reach the device's port through the server, also with `verify: off`")
    .option('--no-wait', 'do not wait until the server is ready')
    .option('--yes', 'add to an existing configuration without asking')
    .action(
      run(async (server: string | undefined, options: InitFlags) =>
        (await import('../commands/init.ts')).init(config(), {
          server: server ?? null,
          forwards: options.R,
          name: options.name ?? null,
          fingerprint: options.hostKeyFingerprint ?? null,
          jump: options.jump === true,
          wait: options.wait,
          yes: options.yes === true,
        }),
      ),
    );
}

function addDoctor(program: Command, { run, config }: Shared): void {
  program
    .command('doctor')
    .description('look at everything that a tunnel needs, and say what to do about what is wrong')
    .argument('[name]', 'a tunnel')
    .option('--json', 'one JSON document')
    .option('--fix', 'repair what can be repaired: permissions, the state directory')
    .action(
      run(async (name: string | undefined, options: { json?: boolean; fix?: boolean }) =>
        (await import('../commands/doctor.ts')).doctor(config(), name ?? null, {
          json: options.json === true,
          fix: options.fix === true,
        }),
      ),
    );
}

function addTrust(program: Command, { run, config }: Shared): void {
  program
    .command('trust')
    .description("compare the server's host key with the known one, and replace that where it has changed")
    .argument('<name>', 'a tunnel')
    .option(
      '--fingerprint <fingerprint>',
      'SHA256:... of the server, as it shows it itself, in the place of a question',
    )
    .action(
      run(async (name: string, options: { fingerprint?: string }) =>
        (await import('../commands/trust.ts')).trust(config(), name, options.fingerprint ?? null),
      ),
    );
}

function addServerSetup(program: Command, { run, config }: Shared): void {
  program
    .command('server-setup')
    .description('print a script that sets the server up for a tunnel: its user, its key, and what they may do')
    .argument('<name>', 'a tunnel')
    .option('--jump', "let the tunnel's key reach the device's port through the server, also with `verify: off`")
    .option('--undo', 'print the script that takes it all away again')
    .addOption(
      new Option('--for <system>', 'what the server runs').choices(['debian', 'nixos', 'macos']).default('debian'),
    )
    .action(
      run(async (name: string, options: { jump?: boolean; undo?: boolean; for: 'debian' | 'nixos' | 'macos' }) =>
        (await import('../commands/server-setup.ts')).printServerSetup(config(), name, {
          jump: options.jump === true,
          undo: options.undo === true,
          system: options.for,
        }),
      ),
    );
}

function addAudit(program: Command, { run, config }: Shared): void {
  program
    .command('audit')
    .description('log in and try what a thief of the key could do on the server, after a question')
    .argument('[name]', 'a tunnel')
    .option('--json', 'one JSON document')
    .option('--yes', 'do not ask before')
    .option(
      '--via <server>',
      '[me@]server: read the rules and the keys there, as an administrator who logs in as with ssh',
    )
    .action(
      run(async (name: string | undefined, options: { json?: boolean; yes?: boolean; via?: string }) =>
        (await import('../commands/audit.ts')).audit(config(), name ?? null, {
          json: options.json === true,
          yes: options.yes === true,
          via: options.via ?? null,
        }),
      ),
    );
}

function addClientSetup(program: Command, { run, config }: Shared): void {
  program
    .command('client-setup')
    .description('print what people put into their ~/.ssh to reach this device through a tunnel')
    .argument('<name>', 'a tunnel')
    .option('--user <user>', 'who logs in on this device (default: whoever calls this)')
    .option('--alias <name>', "what the device is called there (default: the tunnel's name)")
    .action(
      run(async (name: string, options: { user?: string; alias?: string }) =>
        (await import('../commands/client-setup.ts')).printClientSetup(config(), name, {
          user: options.user ?? null,
          alias: options.alias ?? null,
        }),
      ),
    );
}

function addDemo(program: Command, { run }: Shared): void {
  program
    .command('demo')
    .description('see a tunnel heal, on this machine alone')
    .action(run(async () => (await import('../commands/demo.ts')).demo()));
}

interface InitFlags {
  readonly R: readonly string[];
  readonly name?: string;
  readonly hostKeyFingerprint?: string;
  readonly jump?: boolean;
  readonly wait: boolean;
  readonly yes?: boolean;
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
