import { Option, type Command } from '@commander-js/extra-typings';
import type { Definitions } from './definitions.ts';

/** The commands that make a tunnel, and those that check it. */
export function addSetupCommands(program: Command, definitions: Definitions): void {
  addInit(program, definitions);
  addRepairs(program, definitions);
  addChanges(program, definitions);
  addServerSide(program, definitions);
}

const JUMP = "allow the tunnel's key to reach the device's port through the server even with `verify: off`";
const SPARE = 'make a spare host key on the server, for the day on which its host key is replaced';
const VIA_EACH =
  'set the server up now, over an ssh login of yours that may become root ([me@]server[:port]); once for each of several servers';
const NO_WAIT = 'exit without waiting until the script for the server has run there';

function addInit(program: Command, { run }: Definitions): void {
  run(
    program
      .command('init')
      .description('make a tunnel from nothing: key, host key, configuration, and a script for the server')
      .argument('[server]', '[user@]host[:port]')
      .addOption(
        new Option(
          '-R <forward>',
          'add a forward, such as 8080:localhost:22; may be repeated; auto:localhost:22 takes a free port (--via)',
        )
          .argParser(collect)
          .default([], 'none'),
      )
      .option('--name <name>', 'name the tunnel (default: after the host)')
      .option(
        '--host-key-fingerprint <fingerprint>',
        'accept the host key with this fingerprint, SHA256:..., as the server itself shows it',
      )
      .option(
        '--via <server>',
        'set the server up now, over an ssh login of yours that may become root ([me@]server[:port]); passwords are asked for',
      )
      .addOption(
        new Option(
          '--from <what>',
          'take over what keeps ssh tunnels up today: autossh for all that is found here, or the name of a unit or a file',
        ).conflicts([
          'R',
          'name',
          'hostKeyFingerprint',
          'via',
          'jump',
          'spareHostKey',
          'wait',
          'i',
          'certificate',
          'set',
        ]),
      )
      .option('--jump', JUMP)
      .option('--spare-host-key', SPARE)
      .option('--no-wait', 'exit without waiting until the server is ready')
      .option(
        '--yes',
        'answer yes: add to an existing configuration, and with --via set the server up and start the service',
      )
      .option('-i <key>', 'use this private key, instead of making one')
      .option('--certificate <file>', 'log in with this certificate, and without -i with the key beside KEY-cert.pub')
      .addOption(
        new Option('--set <key=value>', 'set a key of the tunnel, also of an existing one, by a trial; may be repeated')
          .argParser(collect)
          .default([], 'none'),
      )
      .option('--dry-run', 'print what would change, and exit with 10 where something would')
      .option('--json', 'print one JSON document: what was changed, and the exit code'),
    async () => {
      const { init } = await import('../commands/setup/init/init.ts');
      // A short option without a long one goes by its letter.
      return (config, server, { R: forwards, ...options }) => init(config, { ...options, server, forwards });
    },
  );
}

/** For when it does not work. */
function addRepairs(program: Command, { run }: Definitions): void {
  run(
    program
      .command('doctor')
      .description('check everything that a tunnel needs, and print what to do about each problem')
      .argument('[name]', 'a tunnel')
      .option('--json', 'print one JSON document')
      .option('--fix', 'repair permissions and the state directory'),
    async () => (await import('../commands/checks/doctor.ts')).doctor,
  );
  run(
    program
      .command('bugreport')
      .description('write a file for an issue or a colleague: versions, configuration, checks, status, log; no secrets')
      .option('--output <file>', 'write this new file; - prints the report'),
    async () => (await import('../commands/bugreport/bugreport.ts')).bugreport,
  );
  run(
    program
      .command('trust')
      .description("compare the server's host key with the known one, and replace a key that has changed")
      .argument('<name>', 'a tunnel')
      .option(
        '--fingerprint <fingerprint>',
        'accept the host key with this fingerprint, SHA256:..., as the server itself shows it, without asking',
      ),
    async () => (await import('../commands/setup/trust.ts')).trust,
  );
}

/** Of the key, the server, or the device. */
function addChanges(program: Command, { run }: Definitions): void {
  run(
    program
      .command('rekey')
      .description(
        'give a tunnel a new key, and drop the old one when the new one works; run again, it goes on where it was',
      )
      .argument('<name>', 'a tunnel')
      .option('--via <server>', VIA_EACH, collect, [])
      .option('--jump', JUMP)
      .option('--no-wait', NO_WAIT)
      .option('--yes', 'set the server up without asking'),
    async () => (await import('../commands/setup/change/rekey.ts')).rekey,
  );
  run(
    program
      .command('move')
      .description(
        'move a tunnel to another server: it runs at both until you switch; run again, it goes on where it was',
      )
      .argument('<name>', 'a tunnel')
      .argument('<server>', 'the new one, [user@]host[:port]')
      .option('--from <server>', 'the one to leave, of several ([user@]host[:port])')
      .option(
        '--host-key-fingerprint <fingerprint>',
        'accept the host key with this fingerprint, SHA256:..., as the new server itself shows it',
      )
      .option(
        '--via <server>',
        'set the new server up now, over an ssh login of yours that may become root ([me@]server[:port])',
      )
      .option('--jump', JUMP)
      .option('--no-wait', NO_WAIT)
      .option('--yes', 'set the server up and switch without asking'),
    async () => (await import('../commands/setup/change/move.ts')).move,
  );
  run(
    program
      .command('new-identity')
      .description("give a device whose card was copied from another's a key, a user and ports of its own")
      .argument('[name]', 'a tunnel')
      .option('--name <name>', 'call the device this (default: its host name, where the original had another)')
      .option('--via <server>', VIA_EACH, collect, [])
      .option('--port <port>', 'take this port of the server, where --via does not choose one')
      .option('--jump', JUMP)
      .option('--no-wait', NO_WAIT)
      .option('--yes', 'set the server up without asking'),
    async () => (await import('../commands/setup/change/new-identity.ts')).newIdentity,
  );
}

/** The server's rules and keys, the way in through it, and its devices; and all of it on one machine. */
function addServerSide(program: Command, { run }: Definitions): void {
  run(
    program
      .command('server-setup')
      .description('print a script that prepares the server for a tunnel: a user, its key, and what they may do')
      .argument('[name]', 'a tunnel')
      .option(
        '--from <directory>',
        'print one script for many devices, whose configurations and public keys are in this directory',
      )
      .option('--jump', JUMP)
      .option('--spare-host-key', SPARE)
      .option('--undo', 'print the script that removes all of it')
      .addOption(
        new Option('--for <system>', 'print it for this system of the server')
          .choices(['debian', 'nixos', 'macos'])
          .default('debian'),
      ),
    async () => (await import('../commands/setup/server-setup.ts')).printServerSetup,
  );
  run(
    program
      .command('audit')
      .description('log in and try what a thief of the key could do on the server, after a question')
      .argument('[name]', 'a tunnel')
      .option('--json', 'print one JSON document')
      .option('--yes', 'start without asking')
      .option('--via <server>', 'read the rules and keys there too, by an ssh login as administrator ([me@]server)'),
    async () => (await import('../commands/checks/audit.ts')).audit,
  );
  run(
    program
      .command('client-setup')
      .description('print one block to paste into a shell, with which people reach this device through a tunnel')
      .argument('<name>', 'a tunnel')
      .option('--user <user>', 'log in on this device as this user (default: you)')
      .option('--alias <name>', "call the device this (default: the tunnel's name)")
      .option('--via <server>', 'go through the server by this login of yours, [me@]server[:port]')
      .option(
        '--install <laptop>',
        'write it into ~/.ssh/config.d of this login, [me@]laptop[:port], instead of printing it',
      ),
    async () => (await import('../commands/setup/client-setup.ts')).printClientSetup,
  );
  run(
    program
      .command('fleet')
      .description(
        'show all devices of a server, with what is wrong, over an ssh login of yours there (root or sudo shows all)',
      )
      .argument('<server...>', '[me@]server[:port]; several are shown side by side')
      .option('--json', 'print one JSON document')
      .option('--prometheus', "print metrics for node_exporter's textfile collector")
      .option('--nagios', 'print one line, and exit, as a Nagios plugin')
      .option('--watch', 'show it again every five seconds'),
    async () => {
      const { fleet } = await import('../commands/checks/fleet.ts');
      return (_, servers, options) => fleet(servers, options);
    },
  );
  run(
    program.command('demo').description('show a tunnel that heals, on this machine alone'),
    async () => (await import('../commands/demo.ts')).demo,
  );
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
