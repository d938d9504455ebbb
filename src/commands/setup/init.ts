import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { systemEnvironment } from '../../config/input/environment.ts';
import { parseConfig } from '../../config/parse.ts';
import { loadConfig } from '../../config/load.ts';
import { hostQuery } from '../../connection/known-hosts/check.ts';
import { DaemonNotRunningError } from '../../control/client.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { createFile } from '../../lib/files/create-file.ts';
import { makeDirectory } from '../../lib/files/make-directory.ts';
import { readText } from '../../lib/files/read-file.ts';
import { replaceFile } from '../../lib/files/replace-file.ts';
import { errorCode, errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { dial } from '../../net/dial.ts';
import { addToConfig, newConfig, type NewTunnel } from '../../setup/new-config.ts';
import { checkKey, makeKey } from '../../setup/new-key.ts';
import { readPublicKeys } from '../../setup/public-key.ts';
import { scanHostCertificate, scanHostKeys } from '../../setup/scan-host-keys.ts';
import { doctor, statusOf } from '../checks/doctor.ts';
import { findConfig } from '../find/config-file.ts';
import { daemonStatus } from '../find/daemon-status.ts';
import { processTurns } from '../find/process-turns.ts';
import { createQuestions, type Questions } from '../text/prompt.ts';
import { report } from '../text/report.ts';
import { type HostToTrust, trustHostKey } from './init-host-key.ts';
import { initFrom, offerFrom } from './init-from.ts';
import { finish } from './init-finish.ts';
import { agreeOn, openOwner } from './init-via.ts';
import { untilServerIsReady } from './init-wait.ts';
import { isSystems, type Standing, standingOf, tunnelsOf, type WantedOptions, wantedTunnel } from './init-wanted.ts';
import { schemaUrl } from './schema-url.ts';
import { serverSetupText } from './server-setup.ts';
import { writeScript } from './write-script.ts';
import { isServerOf, knownIn, trustOther } from './owner-of.ts';

export interface InitOptions extends WantedOptions {
  readonly hostKeyFingerprint: string | null;
  /** Whether the script for the server allows the key to reach the port through the server too. */
  readonly jump: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
  /** What to take over instead of making a tunnel from nothing; null for that. */
  readonly from: string | null;
  readonly dryRun: boolean;
}

/**
 * Makes a tunnel from nothing: key, host key, configuration, the script for the server, and the proof. Repeated, it goes on where it was.
 * The exit code is that of doctor at its end.
 */
export async function init(flag: string | null, options: InitOptions): Promise<number> {
  const questions = createQuestions(options.yes);
  try {
    const from = options.from ?? (isBare(options) && (await offerFrom(flag, questions)) ? 'autossh' : null);
    if (from !== null) return await initFrom(flag, from, options, questions);
    const file = resolve(await findConfig(flag));
    return await work(file, flag ?? file, options, questions);
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error;
    throw new UserError(`${errorText(error)}: ${MAY_NOT_WRITE}`, EXIT.failed, { cause: error });
  } finally {
    questions.close();
  }
}

/** Nothing was said of what to make. */
function isBare({ server, via, forwards, yes }: InitOptions): boolean {
  return server === null && via === null && forwards.length === 0 && !yes;
}

const MAY_NOT_WRITE = 'run this with sudo, or name a file of your own with --config FILE';

async function work(file: string, configFlag: string, options: InitOptions, questions: Questions): Promise<number> {
  const { tunnel: asked, admin } = await wantedTunnel(file, options, questions);
  report(`configuration ${file}, tunnel ${asked.name}: ${asked.user}@${formatEndpoint({ type: 'tcp', ...asked })}`);
  // All that can be wrong with it is found before anything is made; and the server comes first, so that a wrong address leaves nothing.
  const standing = await standingOf(file, asked, options.jump);
  if (usesNewKey(asked, standing)) await checkKey(asked.identityFile);
  const [knownHosts = asked.userKnownHostsFile] = standing.existing?.userKnownHostsFiles ?? [];
  const trusted = await trustHostKey(hostToTrust(asked, knownHosts), options.hostKeyFingerprint, questions, report);
  if (trusted === 'refused') throw new UserError('the host key was not confirmed; nothing more was done');
  if (admin !== null) {
    const login = isServerOf(asked, admin) ? knownIn(admin, [knownHosts]) : await trustOther(admin, questions);
    const spec = await setUpVia(file, asked, standing, login, options.jump, questions);
    if (!options.wait) return EXIT.ok;
    const code = await prove(configFlag, spec, file);
    return await finish(configFlag, spec, login, code, questions);
  }

  await makeKeyFor(asked, standing);
  await writeConfig(file, asked, standing, questions.confirm);
  const spec = (await tunnelsOf(file)).find(({ name }) => name === asked.name)!;
  await handOutScript(spec, file, options.jump);
  if (options.wait) return await prove(configFlag, spec, file);
  report('when the script has run there: tunneld doctor');
  return EXIT.ok;
}

/** A tunnel that a person wrote has a key of its own. */
function usesNewKey({ identityFile }: NewTunnel, { existing }: Standing): boolean {
  return existing === null || existing.identityFiles.includes(identityFile);
}

async function makeKeyFor(wanted: NewTunnel, standing: Standing): Promise<void> {
  if (!usesNewKey(wanted, standing)) return;
  const { identityFile, name } = wanted;
  const made = await makeKey(identityFile, `tunneld ${name} of ${hostname()}`);
  report(made ? `made the key ${identityFile}` : `the key ${identityFile} exists and is used`);
}

/** The script for a person to run: into a file, or where standard output leads. */
async function handOutScript(spec: TunnelSpec, file: string, jump: boolean): Promise<void> {
  const { tunnels } = await loadConfig(file, systemEnvironment());
  const script = await serverSetupText(spec, tunnels, { jump, undo: false, for: 'debian' });
  if (!process.stdout.isTTY) {
    report(
      'the server needs this script: read it, and run it there as root (for other systems: tunneld server-setup --help)',
    );
    process.stdout.write(script);
    return;
  }
  const path = await writeScript(resolve(`${spec.name}-server-setup.sh`), script);
  report(
    `the server needs the script ${path}: read it, bring it there and run it as root (sudo sh ${spec.name}-server-setup.sh); or run this again with --via ME@${spec.host}, your own login there, which does it`,
  );
}

/** Waits until the server is ready, and shows that the whole route works; the exit code is that of doctor. */
async function prove(configFlag: string, spec: TunnelSpec, file: string): Promise<number> {
  const running = await daemonStatus(configFlag).catch((error: unknown) => {
    if (error instanceof DaemonNotRunningError) return null; // another user's
    throw error;
  });
  if (statusOf(running, spec, file) !== undefined) report('the daemon has this tunnel already');
  else await untilServerIsReady(spec, report);
  // Not on standard output, where the script may be on its way into a file.
  return await doctor(configFlag, spec.name, { json: false, fix: false }, process.stderr);
}

/** Sets the server up over the owner's login, and makes key and configuration here; the answer is the tunnel as it was agreed on. */
async function setUpVia(
  file: string,
  asked: NewTunnel,
  before: Standing,
  login: TunnelSpec,
  jump: boolean,
  questions: Questions,
): Promise<TunnelSpec> {
  const owner = await openOwner(login, asked.user, questions);
  try {
    const keys = await publicKeysOf(before.existing?.identityFiles ?? [asked.identityFile]);
    const wanted = await agreeOn(asked, owner, { keys, configured: before.existing !== null }, questions);
    const standing = await standingOf(file, wanted, jump);
    const { existing, fresh, tunnels } = standing;
    await makeKeyFor(wanted, standing);
    report(
      `here, ${existing === null ? `the tunnel ${wanted.name} is added to ${file}` : `${file} has this tunnel already`}`,
    );
    const spec = existing ?? fresh;
    await owner.setUp(spec, [...tunnels.filter(({ name }) => name !== spec.name), spec], jump, questions);
    // Confirmed with the changes of the server.
    await writeConfig(file, wanted, standing, async () => true);
    return (await tunnelsOf(file)).find(({ name }) => name === wanted.name)!;
  } finally {
    await owner.close();
  }
}

/** In base64; none where there is no key yet. */
async function publicKeysOf(identityFiles: readonly string[]): Promise<readonly string[]> {
  try {
    const { keys } = await readPublicKeys({ identityFiles, passphraseFile: null, identityFilesConfigured: true });
    return keys.map(({ base64 }) => base64);
  } catch (error) {
    if (error instanceof UserError) return [];
    throw error;
  }
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
    option: '--host-key-fingerprint',
    caSignatureAlgorithms: null,
    scan: () => scanHostKeys(host, open, SCAN_MS, systemClock),
    scanCertificate: () => scanHostCertificate(open, SCAN_MS, systemClock),
  };
}

const SCAN_MS = 10_000;

/** Writes the tunnel into the file, unless that has it. Rejects with a UserError where adding to the file is not confirmed. */
async function writeConfig(
  file: string,
  wanted: NewTunnel,
  { existing }: Standing,
  confirm: Questions['confirm'],
): Promise<void> {
  if (existing !== null) {
    report(`${file} has this tunnel already`);
    return;
  }
  const text = await readText(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  });
  if (text === null) {
    makeDirectory(dirname(file));
    await createFile(file, newConfig(wanted, schemaUrl(process.argv[1] ?? '')), await modeIn(dirname(file)));
    report(`wrote ${file}`);
    return;
  }
  if (!(await confirm(`Add the tunnel ${wanted.name} to ${file}?`))) throw new UserError(`${file} was left as it is`);
  await replaceFile(file, addToConfig(text, wanted), (added) => parseConfig(added, file, systemEnvironment()));
  report(`added to ${file}`);
}

/** In a folder that its group may read, as a package makes it for the service, so is the file: the service reads it as soon as it exists. */
async function modeIn(directory: string): Promise<number> {
  const { mode } = await stat(directory);
  return (mode & 0o070) === 0o050 && isSystems(directory) ? 0o640 : 0o600;
}
