import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { access, stat } from 'node:fs/promises';
import { systemEnvironment } from '../../config/input/environment.ts';
import { canonicalAddress } from '../../config/values/address.ts';
import { isBareListener, noTarget, readForward } from '../../config/values/forward.ts';
import { readJump } from '../../config/schema/jump.ts';
import { loadConfig } from '../../config/load.ts';
import { parseConfig } from '../../config/parse.ts';
import { defaultStateDirectory } from '../../config/input/paths.ts';
import { BadValue } from '../../config/values/value.ts';
import { DaemonNotRunningError } from '../../control/client.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { makeDirectory } from '../../lib/files/make-directory.ts';
import { readText } from '../../lib/files/read-file.ts';
import { errorCode, errorText } from '../../lib/text.ts';
import { newConfig, addToConfig, type NewTunnel, SOCKS_FORWARD } from '../../setup/new-config.ts';
import { createFile } from '../../lib/files/create-file.ts';
import { makeKey } from '../../setup/new-key.ts';
import { scanHostKeys } from '../../setup/scan-host-keys.ts';
import { replaceFile } from '../../lib/files/replace-file.ts';
import { checkSetup } from '../../server-rules/server-setup.ts';
import { UserError } from '../../lib/user-error.ts';
import { dial } from '../../net/dial.ts';
import { hostQuery } from '../../connection/known-hosts/check.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { daemonStatus } from '../find/daemon-status.ts';
import { doctor, statusOf } from '../checks/doctor.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { findConfig } from '../find/config-file.ts';
import { processTurns } from '../find/process-turns.ts';
import { schemaUrl } from './schema-url.ts';
import { createQuestions, type Questions } from '../text/prompt.ts';
import { serverSetupText } from './server-setup.ts';
import { report } from '../text/report.ts';
import { type HostToTrust, trustHostKey } from './init-host-key.ts';
import { untilServerIsReady } from './init-wait.ts';

export interface InitOptions {
  readonly server: string | null;
  readonly forwards: readonly string[];
  readonly name: string | null;
  readonly hostKeyFingerprint: string | null;
  /** Whether the script for the server allows the key to reach the port through the server too. */
  readonly jump: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
}

/**
 * Makes a tunnel from nothing: key, host key, configuration, the script for the server, and the proof. Repeated, it goes on where it was.
 * The exit code is that of doctor at its end.
 */
export async function init(flag: string | null, options: InitOptions): Promise<number> {
  const questions = createQuestions(options.yes);
  try {
    const file = resolve(await findConfig(flag));
    return await work(file, flag ?? file, options, questions);
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error;
    throw new UserError(`${errorText(error)}: ${MAY_NOT_WRITE}`, EXIT.failed, { cause: error });
  } finally {
    questions.close();
  }
}

const MAY_NOT_WRITE = 'run this with sudo, or name a file of your own with --config FILE';

async function work(file: string, configFlag: string, options: InitOptions, questions: Questions): Promise<number> {
  const wanted = await wantedTunnel(file, options, questions);
  report(`configuration ${file}, tunnel ${wanted.name}: ${wanted.user}@${formatEndpoint({ type: 'tcp', ...wanted })}`);
  // All that can be wrong with it is found before anything is made.
  const existing = await existingTunnel(file, wanted, options.jump);

  if (existing === null || existing.identityFiles.includes(wanted.identityFile)) {
    const made = await makeKey(wanted.identityFile, `tunneld ${wanted.name} of ${hostname()}`);
    report(made ? `made the key ${wanted.identityFile}` : `the key ${wanted.identityFile} exists and is used`);
  }
  const [userKnownHostsFile = wanted.userKnownHostsFile] = existing?.userKnownHostsFiles ?? [];
  const trusted = await trustHostKey(
    hostToTrust(wanted, userKnownHostsFile),
    options.hostKeyFingerprint,
    questions,
    report,
  );
  if (trusted === 'refused') throw new UserError('the host key was not confirmed; nothing more was done');

  if (existing !== null) report(`${file} has this tunnel already`);
  else if (!(await writeConfig(file, wanted, questions))) throw new UserError(`${file} was left as it is`);

  const { tunnels } = await loadConfig(file, systemEnvironment());
  const spec = tunnels.find(({ name }) => name === wanted.name)!;
  const script = await serverSetupText(spec, tunnels, { jump: options.jump, undo: false, for: 'debian' });
  report(
    'the server needs this script: read it, and run it there as root (for other systems: tunneld server-setup --help):\n',
  );
  process.stdout.write(script);
  if (!options.wait) {
    report('when the script has run there: tunneld doctor');
    return EXIT.ok;
  }
  const running = await daemonStatus(configFlag).catch((error: unknown) => {
    if (error instanceof DaemonNotRunningError) return null; // another user's
    throw error;
  });
  if (statusOf(running, spec, file) !== undefined) report('the daemon has this tunnel already');
  else await untilServerIsReady(spec, report);
  // Not on standard output, where the script may be on its way into a file.
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
    const { socket, turn } = await dial(server, SCAN_MS, deps, NEVER);
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

async function wantedTunnel(file: string, options: InitOptions, { ask }: Questions): Promise<NewTunnel> {
  const environment = systemEnvironment();
  const given = options.server ?? (await ask('The server, as [user@]host[:port]', null));
  const server = named('the server', () => readJump(given));
  const forwards =
    options.forwards.length > 0
      ? options.forwards
      : [
          `${await ask('The port of the server that leads to this device', '8080')}:${await ask('Its target, as seen from this device', 'localhost:22')}`,
        ];
  for (const forward of forwards) {
    if (isBareListener(forward))
      throw wrongUsage(`-R ${JSON.stringify(forward)} ${noTarget(forward, `${forward}:socks`)}`);
    named(`-R ${JSON.stringify(forward)}`, () => readForward('remote', written(forward), (raw) => String(raw)));
  }
  const name = options.name ?? nameOf(server.host);
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(name)) {
    throw wrongUsage(`${JSON.stringify(name)} is not a name for a tunnel: use a-z, 0-9, - and _ (--name)`);
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

/** The service may not write there, and it keeps further host keys of the server (updateHostKeys). */
function isSystems(directory: string): boolean {
  return /^\/(?:usr\/local\/)?etc(?:\/|$)/.test(directory);
}

function nameOf(host: string): string {
  const name = host.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-');
  return name.replaceAll(/^[-_]+|-+$/g, '') || 'tunnel';
}

/**
 * The same tunnel, where the configuration has it already; null where it has none of this name. Throws where another one has the name, and
 * where the server cannot be set up for this one.
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

/** False where adding to the file is not confirmed. */
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

/** In a folder that its group may read, as a package makes it for the service, so is the file: the service reads it as soon as it exists. */
async function modeIn(directory: string): Promise<number> {
  const { mode } = await stat(directory);
  return (mode & 0o070) === 0o050 && isSystems(directory) ? 0o640 : 0o600;
}

/** Reads an argument; the message of what is wrong with it begins with its name. */
function named<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof BadValue ? wrongUsage(`${name} ${error.message}`) : error;
  }
}

function wrongUsage(message: string): UserError {
  return new UserError(message, EXIT.usage);
}
