import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { EXIT } from './commands/exit.ts';
import { errorText } from './lib/text.ts';
import { VERSION } from './lib/version.ts';

/** argv to command to exit code; the commands are loaded when they are called, so that a quick one starts quickly. */
async function main(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  const run =
    <A extends unknown[]>(action: (...args: A) => Promise<number>) =>
    async (...args: A) => {
      code = await action(...args);
    };

  const program = new Command('tunneld')
    .description('Keeps SSH tunnels up.')
    .version(VERSION)
    .option('--config <file>', 'the configuration file')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('(see tunneld --help)');
  const config = () => program.opts<{ config?: string }>().config ?? null;

  program
    .command('run')
    .description('run the daemon in the foreground: on a configuration, or on what ssh or autossh was given')
    .usage('[--config <file>] | [--print-config] [options of ssh] [user@]host')
    .option('--print-config', 'write the configuration that the options of ssh mean, and end')
    .argument('[ssh...]', 'options of ssh(1) or autossh(1), and the server')
    .action(
      run(async (_: string[], options: { printConfig?: boolean }) =>
        (await import('./commands/run.ts')).run(config(), sshArguments, options.printConfig === true),
      ),
    );
  program
    .command('check')
    .description('read the configuration and list everything that is wrong with it')
    .action(run(async () => (await import('./commands/check.ts')).check(config())));
  program
    .command('status')
    .description('show what every tunnel does, or one')
    .argument('[name]', 'a tunnel')
    .option('--json', 'one JSON document')
    .option('--watch', 'again and again until Ctrl-C')
    .action(
      run(async (name: string | undefined, options: { json?: boolean; watch?: boolean }) =>
        (await import('./commands/status.ts')).status(config(), name ?? null, {
          json: options.json === true,
          watch: options.watch === true,
        }),
      ),
    );
  program
    .command('logs')
    .description('show the last lines of the log')
    .argument('[name]', 'a tunnel')
    .option('-f, --follow', 'go on with new lines until Ctrl-C')
    .option('-n, --lines <number>', 'how many lines', wholeNumber, 50)
    .option('--json', 'the lines as they were written')
    .action(
      run(async (name: string | undefined, options: { follow?: boolean; lines: number; json?: boolean }) =>
        (await import('./commands/logs.ts')).logs(config(), name ?? null, {
          follow: options.follow === true,
          lines: options.lines,
          json: options.json === true,
        }),
      ),
    );
  program
    .command('reload')
    .description('apply the configuration file; tunnels that did not change stay up')
    .argument('[name]', 'a tunnel that runs on a command line: what ssh_config says of it is read anew')
    .action(
      run(async (name: string | undefined) => (await import('./commands/reload.ts')).reload(config(), name ?? null)),
    );
  program
    .command('retry')
    .description('try again now instead of waiting')
    .argument('[name]', 'a tunnel')
    .action(
      run(async (name: string | undefined) => (await import('./commands/retry.ts')).retry(config(), name ?? null)),
    );
  program
    .command('init')
    .description('make a tunnel from nothing: key, host key, configuration, and what the server needs')
    .argument('[server]', '[user@]host[:port]')
    .option('-R <forward>', 'what leads where, such as 8080:localhost:22; may be repeated', collect, [])
    .option('--name <name>', 'what the tunnel is called (default: after the host)')
    .option('--host-key-fingerprint <fingerprint>', 'SHA256:... of the server, as it shows it itself')
    .option('--jump', "let the tunnel's key reach the device's port through the server, too")
    .option('--no-wait', 'do not wait until the server is ready')
    .option('--yes', 'add to an existing configuration without asking')
    .action(
      run(async (server: string | undefined, options: InitFlags) =>
        (await import('./commands/init.ts')).init(config(), {
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
  program
    .command('doctor')
    .description('look at everything that a tunnel needs, and say what to do about what is wrong')
    .argument('[name]', 'a tunnel')
    .option('--json', 'one JSON document')
    .option('--fix', 'repair what can be repaired: permissions, the state directory')
    .action(
      run(async (name: string | undefined, options: { json?: boolean; fix?: boolean }) =>
        (await import('./commands/doctor.ts')).doctor(config(), name ?? null, {
          json: options.json === true,
          fix: options.fix === true,
        }),
      ),
    );
  program
    .command('server-setup')
    .description('print a script that sets the server up for a tunnel: its user, its key, and what they may do')
    .argument('<name>', 'a tunnel')
    .option('--jump', "let the tunnel's key reach the device's port through the server, too")
    .option('--undo', 'print the script that takes it all away again')
    .addOption(
      new Option('--for <system>', 'what the server runs').choices(['debian', 'nixos', 'macos']).default('debian'),
    )
    .action(
      run(async (name: string, options: { jump?: boolean; undo?: boolean; for: 'debian' | 'nixos' | 'macos' }) =>
        (await import('./commands/server-setup.ts')).printServerSetup(config(), name, {
          jump: options.jump === true,
          undo: options.undo === true,
          system: options.for,
        }),
      ),
    );
  program
    .command('audit')
    .description('log in and try what a thief of the key could do on the server, after a question')
    .argument('[name]', 'a tunnel')
    .option('--json', 'one JSON document')
    .option('--yes', 'do not ask before')
    .action(
      run(async (name: string | undefined, options: { json?: boolean; yes?: boolean }) =>
        (await import('./commands/audit.ts')).audit(config(), name ?? null, {
          json: options.json === true,
          yes: options.yes === true,
        }),
      ),
    );
  program
    .command('client-setup')
    .description('print what people put into their ~/.ssh to reach this device through a tunnel')
    .argument('<name>', 'a tunnel')
    .option('--user <user>', 'who logs in on this device (default: whoever calls this)')
    .option('--alias <name>', "what the device is called there (default: the tunnel's name)")
    .action(
      run(async (name: string, options: { user?: string; alias?: string }) =>
        (await import('./commands/client-setup.ts')).printClientSetup(config(), name, {
          user: options.user ?? null,
          alias: options.alias ?? null,
        }),
      ),
    );
  program
    .command('demo')
    .description('see a tunnel heal, on this machine alone')
    .action(run(async () => (await import('./commands/demo.ts')).demo()));

  // The options of ssh have a grammar of their own; what is tunneld's is taken out before.
  const { ours, sshArguments } = splitRun(argv);
  try {
    await program.parseAsync(ours, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    process.stderr.write(`tunneld: ${errorText(error)}\n`);
    return EXIT.failed;
  }
}

/** The arguments of `tunneld run` that are not tunneld's own but those of ssh; for other commands there are none. */
function splitRun(argv: readonly string[]): { readonly ours: string[]; readonly sshArguments: string[] } {
  const ours: string[] = [];
  const sshArguments: string[] = [];
  let isRun = false;
  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index]!;
    if (/^--(?:config=.*|print-config|help)$/s.test(argument)) ours.push(argument);
    else if (argument === '--config') ours.push(...argv.slice(index, (index += 1) + 1));
    else if (isRun) sshArguments.push(argument);
    else if (argument.startsWith('-')) return { ours: [...argv], sshArguments: [] };
    else if (argument !== 'run') return { ours: [...argv], sshArguments: [] };
    else {
      ours.push(argument);
      isRun = true;
    }
  }
  return { ours, sshArguments };
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

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return Number(text);
}

// A reader that goes away (`tunneld logs | head`) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
});
// Not by running out of work: nothing that is still open may hold the end of a command.
process.exit(await main(process.argv.slice(2)));
