import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { access, stat } from 'node:fs/promises';
import { systemEnvironment } from '../config/input/environment.ts';
import { canonicalAddress } from '../config/values/address.ts';
import { isBareListener, noTarget, readForward } from '../config/values/forward.ts';
import { readJump } from '../config/schema/jump.ts';
import { loadConfig } from '../config/load.ts';
import { parseConfig } from '../config/parse.ts';
import { ConfigError } from '../config/input/problem.ts';
import { defaultStateDirectory } from '../config/input/paths.ts';
import { BadValue } from '../config/values/value.ts';
import { DaemonNotRunningError } from '../control/client.ts';
import { systemClock } from '../lib/async/clock.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { readText } from '../lib/files/read-small-file.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { newConfig, addToConfig, type NewTunnel, SOCKS_FORWARD } from '../setup/new-config.ts';
import { createFile } from '../lib/files/create-file.ts';
import { makeKey } from '../setup/new-key.ts';
import { scanHostKeys } from '../setup/scan-host-keys.ts';
import { replaceFile } from '../lib/files/replace-file.ts';
import { checkSetup } from '../server-rules/server-setup.ts';
import { UserError } from '../lib/user-error.ts';
import { dial } from '../net/dial.ts';
import { TunnelFailure } from '../model/failure.ts';
import { hostQuery } from '../connection/known-hosts/check.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { reportProblems } from './text/config-problems.ts';
import { daemonStatus } from './find/daemon-status.ts';
import { doctor, statusOf } from './doctor.ts';
import { EXIT } from './text/exit-code.ts';
import { findConfig } from './find/config-file.ts';
import { processTurns } from './find/process-turns.ts';
import { schemaUrl } from './find/schema-url.ts';
import { createQuestions, NoTerminalError, type Questions } from './text/prompt.ts';
import { serverSetupText } from './server-setup.ts';
import { report } from './text/report.ts';
import { type HostToTrust, trustHostKey } from './init-host-key.ts';
import { untilServerIsReady } from './init-wait.ts';

export interface InitOptions {
  readonly server: string | null;
  readonly forwards: readonly string[];
  readonly name: string | null;
  readonly fingerprint: string | null;
  /** Whether the server's part lets the key's holder reach the port through the server too. */
  readonly jump: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
}

/** From nothing to a tunnel: key, host key, configuration, the server's part, and the proof. Repeated, it goes on where it was. */
export async function init(flag: string | null, options: InitOptions): Promise<number> {
  const questions = createQuestions(options.yes);
  try {
    const file = resolve(await findConfig(flag));
    return await work(file, flag ?? file, options, questions);
  } catch (error) {
    if (error instanceof NoTerminalError || error instanceof BadValue) return say(EXIT.usage, error.message);
    if (error instanceof ConfigError) return reportProblems(error);
    if (error instanceof TunnelFailure) return say(EXIT.failed, `${error.message}. ${error.hint}`);
    if (errorCode(error) === 'EACCES') return say(EXIT.failed, `${errorText(error)}: ${MAY_NOT_WRITE}`);
    return say(EXIT.failed, errorText(error));
  } finally {
    questions.close();
  }
}

const MAY_NOT_WRITE = 'run this with sudo, or name a file of your own with --config FILE';

async function work(file: string, configFlag: string, options: InitOptions, questions: Questions): Promise<number> {
  const wanted = await wantedTunnel(file, options, questions);
  report(`configuration ${file}, tunnel ${wanted.name}: ${wanted.user}@${formatEndpoint({ type: 'tcp', ...wanted })}`);
  // All that can be wrong with it is told before anything is made.
  const existing = await existingTunnel(file, wanted, options.jump);

  if (existing === null || existing.identityFiles.includes(wanted.identityFile)) {
    const made = await makeKey(wanted.identityFile, `tunneld ${wanted.name} of ${hostname()}`);
    report(made ? `made the key ${wanted.identityFile}` : `the key ${wanted.identityFile} exists and is used`);
  }
  const [userKnownHostsFile = wanted.userKnownHostsFile] = existing?.userKnownHostsFiles ?? [];
  const trusted = await trustHostKey(hostToTrust(wanted, userKnownHostsFile), options.fingerprint, questions, report);
  if (trusted === 'refused') return say(EXIT.failed, 'the host key was not confirmed; nothing more was done');

  if (existing !== null) report(`${file} has this tunnel already`);
  else if (!(await writeConfig(file, wanted, questions))) return say(EXIT.failed, `${file} was left as it is`);

  const { tunnels } = await loadConfig(file, systemEnvironment());
  const spec = tunnels.find(({ name }) => name === wanted.name)!;
  const script = await serverSetupText(spec, tunnels, { jump: options.jump, undo: false, system: 'debian' });
  report(
    'the server needs this script, to be read and run as root there (for other systems: tunneld server-setup --help):\n',
  );
  process.stdout.write(script);
  if (!options.wait) {
    report('when that is done: tunneld doctor');
    return EXIT.ok;
  }
  const running = await daemonStatus(configFlag).catch((error: unknown) => {
    if (error instanceof DaemonNotRunningError) return null; // another user's
    throw error;
  });
  if (statusOf(running, spec, file) !== undefined) report('the daemon has this tunnel already');
  else await untilServerIsReady(spec, report);
  // Not among the script's lines, which may be on their way into a file.
  return await doctor(configFlag, spec.name, { json: false, fix: false }, process.stderr);
}

function hostToTrust({ host, port }: NewTunnel, userKnownHostsFile: string): HostToTrust {
  const server = {
    host,
    port,
    addressFamily: 'any',
    bindAddress: null,
    bindInterface: null,
    tcpKeepAlive: true,
    connectLimit: null,
  } as const;
  const open = async () => {
    const deps = { clock: systemClock, turns: processTurns };
    const { socket, turn } = await dial(server, SCAN_MS, deps, new AbortController().signal);
    return { wire: socket, close: async () => turn.end() };
  };
  return {
    query: hostQuery(host, port, null),
    userKnownHostsFiles: [userKnownHostsFile],
    globalKnownHostsFiles: [],
    alone: true,
    scan: () => scanHostKeys(host, open, SCAN_MS, systemClock),
  };
}

const SCAN_MS = 10_000;

function say(code: number, text: string): number {
  report(text);
  return code;
}

async function wantedTunnel(file: string, options: InitOptions, { ask }: Questions): Promise<NewTunnel> {
  const environment = systemEnvironment();
  const given = options.server ?? (await ask('The server, as [user@]host[:port]', null));
  const server = named('the server', () => readJump(given));
  const forwards =
    options.forwards.length > 0
      ? options.forwards
      : [
          `${await ask('The port of the server that shall lead to this device', '8080')}:${await ask('To what here', 'localhost:22')}`,
        ];
  for (const forward of forwards) {
    if (isBareListener(forward))
      throw new BadValue(`-R ${JSON.stringify(forward)} ${noTarget(forward, `${forward}:socks`)}`);
    named(`-R ${JSON.stringify(forward)}`, () => readForward('remote', written(forward), (raw) => String(raw)));
  }
  const name = options.name ?? nameOf(server.host);
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(name)) {
    throw new BadValue(`${JSON.stringify(name)} is no name for a tunnel: use a-z, 0-9, - and _ (--name)`);
  }
  const directory = dirname(file);
  return {
    name,
    host: canonicalAddress(server.host),
    port: server.port ?? 22,
    user: server.user ?? environment.userName,
    identityFile: join(directory, `${name}.key`),
    userKnownHostsFile: join(isSystems(directory) ? defaultStateDirectory(environment) : directory, 'known_hosts'),
    remoteForward: forwards,
  };
}

function written(forward: string): unknown {
  const [, listen] = SOCKS_FORWARD.exec(forward) ?? [];
  return listen === undefined ? forward : { listen, target: 'socks' };
}

/** A service may not write there, and further host keys of the server are to be learnt (updateHostKeys). */
function isSystems(directory: string): boolean {
  return /^\/(?:usr\/local\/)?etc(?:\/|$)/.test(directory);
}

function nameOf(host: string): string {
  const name = host.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-');
  return name.replaceAll(/^[-_]+|-+$/g, '') || 'tunnel';
}

/**
 * The tunnel of this name that the configuration has already, where it is the same; null where there is none. Throws where another one
 * has the name, and where the server cannot be set up for this one.
 */
async function existingTunnel(file: string, wanted: NewTunnel, jump: boolean): Promise<TunnelSpec | null> {
  const environment = systemEnvironment();
  const [fresh] = (await parseConfig(newConfig(wanted, null), file, environment)).tunnels;
  checkSetup(fresh!, jump);
  const isThere = await access(file).then(
    () => true,
    (error: unknown) => errorCode(error) !== 'ENOENT',
  );
  const tunnels = isThere ? (await loadConfig(file, environment)).tunnels : [];
  const existing = tunnels.find(({ name }) => name === wanted.name) ?? null;
  if (existing !== null && what(existing) !== what(fresh!))
    throw new UserError(`${file} has another tunnel ${wanted.name}: edit it there, or choose a name with --name`);
  return existing;
}

function what({ host, port, user, forwards }: TunnelSpec): string {
  return JSON.stringify([
    host,
    port,
    user,
    forwards.map(({ listen, target }) => [formatEndpoint(listen), formatEndpoint(target)]),
  ]);
}

/** False where nobody lets us add to the file. */
async function writeConfig(file: string, wanted: NewTunnel, { confirm }: Questions): Promise<boolean> {
  const text = await readText(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  });
  if (text === null) {
    makeDirectory(dirname(file));
    await createFile(file, newConfig(wanted, schemaUrl(process.argv[1] ?? '')), await modeIn(dirname(file)));
    report(`wrote ${file}`);
    return true;
  }
  if (!(await confirm(`Add the tunnel ${wanted.name} to ${file}?`))) return false;
  await replaceFile(file, addToConfig(text, wanted), (added) => parseConfig(added, file, systemEnvironment()));
  report(`added to ${file}`);
  return true;
}

/** Where the folder is open to its group, as a package makes it for the service, the service is to read the file as soon as it is there. */
async function modeIn(directory: string): Promise<number> {
  const { mode } = await stat(directory);
  return (mode & 0o070) === 0o050 && isSystems(directory) ? 0o640 : 0o600;
}

/** What is wrong with an argument, with its name. */
function named<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof BadValue ? new BadValue(`${name} ${error.message}`) : error;
  }
}
