import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { systemEnvironment } from '../config/environment.ts';
import { readForward } from '../config/forward.ts';
import { readJump } from '../config/jump.ts';
import { loadConfig } from '../config/load.ts';
import { parseConfig } from '../config/parse.ts';
import { ConfigError } from '../config/problem.ts';
import { defaultStateDirectory } from '../config/paths.ts';
import { BadValue } from '../config/value.ts';
import { systemClock } from '../lib/clock.ts';
import { errorText } from '../lib/text.ts';
import { newConfig, addToConfig, type NewTunnel } from '../setup/new-config.ts';
import { makeKey } from '../setup/new-key.ts';
import { replaceFile } from '../setup/replace-file.ts';
import { scanHostKeys, type ShownKey } from '../setup/scan-host-keys.ts';
import { formatEndpoint, type ForwardSpec, type TunnelSpec } from '../tunnel/spec.ts';
import { appendKnownHosts, loadKnownHosts } from '../tunnel/known-hosts-file.ts';
import { hostQuery, knownHostsLine, knownKeyTypes } from '../tunnel/known-hosts.ts';
import { reportProblems } from './config-problems.ts';
import { daemonStatus, doctor } from './doctor.ts';
import { EXIT } from './exit.ts';
import { findConfig } from './find-config.ts';
import { createQuestions, NobodyThereError, type Questions } from './questions.ts';
import { serverSetupText } from './server-setup.ts';
import { untilServerIsReady } from './until-ready.ts';

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
    return await work(await findConfig(flag), flag, options, questions);
  } catch (error) {
    if (error instanceof NobodyThereError || error instanceof BadValue) return say(EXIT.usage, error.message);
    if (error instanceof ConfigError) return reportProblems(error);
    return say(EXIT.failed, errorText(error));
  } finally {
    questions.close();
  }
}

async function work(file: string, flag: string | null, options: InitOptions, questions: Questions): Promise<number> {
  const wanted = await wantedTunnel(file, options, questions);
  tell(`configuration ${file}, tunnel ${wanted.name}: ${wanted.user}@${formatEndpoint({ type: 'tcp', ...wanted })}`);

  const made = await makeKey(wanted.identityFile, `tunneld ${wanted.name} of ${hostname()}`);
  tell(made ? `made the key ${wanted.identityFile}` : `the key ${wanted.identityFile} exists and is used`);

  const trusted = await trustHostKey(wanted, options, questions);
  if (!trusted) return say(EXIT.failed, 'the host key was not confirmed; nothing more was done');

  const spec = await writeConfig(file, wanted, questions);
  if (spec === null) return say(EXIT.failed, `${file} was left as it is`);

  const { tunnels } = await loadConfig(file, systemEnvironment());
  const script = await serverSetupText(spec, tunnels, { jump: options.jump, undo: false, system: 'debian' });
  tell(
    'the server needs this script, to be read and run as root there (for other systems: tunneld server-setup --help):',
  );
  process.stdout.write(`\n${script}\n`);
  if (!options.wait) {
    tell('when that is done: tunneld doctor');
    return EXIT.ok;
  }
  const running = await daemonStatus(flag ?? file);
  if (running?.tunnels.some((tunnel) => tunnel.name === spec.name)) tell('the daemon has this tunnel already');
  else await untilServerIsReady(spec, tell);
  return await doctor(flag ?? file, spec.name, { json: false, fix: false });
}

function tell(text: string): void {
  process.stderr.write(`tunneld: ${text}\n`);
}

function say(code: number, text: string): number {
  tell(text);
  return code;
}

async function wantedTunnel(file: string, options: InitOptions, { ask }: Questions): Promise<NewTunnel> {
  const environment = systemEnvironment();
  const server = readJump(options.server ?? (await ask('The server, as [user@]host[:port]', null)));
  const forwards =
    options.forwards.length > 0
      ? options.forwards
      : [
          `${await ask('The port of the server that shall lead to this device', '8080')}:${await ask('To what here', 'localhost:22')}`,
        ];
  for (const forward of forwards) readForward('remote', forward, (raw) => String(raw));
  const name = options.name ?? nameOf(server.host);
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(name)) {
    throw new BadValue(`${JSON.stringify(name)} is no name for a tunnel: use a-z, 0-9, - and _ (--name)`);
  }
  const directory = dirname(file);
  return {
    name,
    host: server.host,
    port: server.port ?? 22,
    user: server.user ?? environment.userName,
    identityFile: join(directory, `${name}.key`),
    userKnownHostsFile: join(isSystems(directory) ? defaultStateDirectory(environment) : directory, 'known_hosts'),
    remoteForward: forwards,
  };
}

/** A service may not write there, and further host keys of the server are to be learnt (updateHostKeys). */
function isSystems(directory: string): boolean {
  return /^\/(?:usr\/local\/)?etc(?:\/|$)/.test(directory);
}

function nameOf(host: string): string {
  const name = host.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-');
  return name.replaceAll(/^[-_]+|-+$/g, '') || 'tunnel';
}

/** Never silently: somebody compares the fingerprint, or has done so before. */
async function trustHostKey(wanted: NewTunnel, options: InitOptions, questions: Questions): Promise<boolean> {
  const query = hostQuery(wanted.host, wanted.port, null);
  const { entries } = await loadKnownHosts([wanted.userKnownHostsFile]);
  if (knownKeyTypes(entries, query).length > 0) {
    tell(`${wanted.userKnownHostsFile} knows the host key of ${query.name} already`);
    return true;
  }
  const server = { ...wanted, addressFamily: 'any', bindAddress: null, tcpKeepAlive: true } as const;
  const shown = await scanHostKeys(server, SCAN_MS, systemClock, new AbortController().signal);
  tell(`${query.name} shows: ${shown.map(({ type, fingerprint }) => `${type} ${fingerprint}`).join(', ')}`);
  const chosen = await choose(shown, options.fingerprint, questions);
  if (chosen.length === 0) return false;
  await mkdir(dirname(wanted.userKnownHostsFile), { recursive: true, mode: 0o700 });
  await appendKnownHosts(
    wanted.userKnownHostsFile,
    chosen.map(({ key }) => knownHostsLine(query, key)),
  );
  tell(`written to ${wanted.userKnownHostsFile}`);
  return true;
}

const SCAN_MS = 10_000;
const HOW_TO_COMPARE = 'for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done';

async function choose(
  shown: readonly ShownKey[],
  given: string | null,
  { ask }: Questions,
): Promise<readonly ShownKey[]> {
  const answer = (
    given ??
    (await ask(
      `Compare with what the server itself shows (${HOW_TO_COMPARE}).\nWrite yes if they are the same, or paste one of those fingerprints`,
      null,
      'give --host-key-fingerprint SHA256:..., as the server itself shows it, to a script',
    ))
  ).trim();
  if (given === null && answer.toLowerCase() === 'yes') return shown;
  const same = shown.filter(({ fingerprint }) => fingerprint === answer);
  if (same.length === 0)
    tell(`none of these keys has the fingerprint ${JSON.stringify(answer)}: this is not your server, or not its key`);
  return same;
}

/** Null where there is another tunnel of this name, or nobody lets us add to the file. */
async function writeConfig(file: string, wanted: NewTunnel, { confirm }: Questions): Promise<TunnelSpec | null> {
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const fresh = newConfig(wanted);
    await parseConfig(fresh, file, systemEnvironment());
    await writeFile(file, fresh, { mode: 0o600, flag: 'wx' });
    tell(`wrote ${file}`);
  } else {
    const { tunnels } = await loadConfig(file, systemEnvironment());
    const existing = tunnels.find(({ name }) => name === wanted.name);
    if (existing !== undefined) {
      const forwards = wanted.remoteForward.map((forward) => readForward('remote', forward, (raw) => String(raw)));
      const listens = (list: readonly Pick<ForwardSpec, 'listen' | 'target'>[]) =>
        list.map(({ listen, target }) => `${formatEndpoint(listen)} ${formatEndpoint(target)}`).join();
      const same =
        existing.host === wanted.host &&
        existing.port === wanted.port &&
        existing.user === wanted.user &&
        listens(existing.forwards) === listens(forwards);
      tell(
        same
          ? `${file} has this tunnel already`
          : `${file} has another tunnel ${wanted.name}: edit it there, or choose a name with --name`,
      );
      return same ? existing : null;
    }
    if (!(await confirm(`Add the tunnel ${wanted.name} to ${file}?`))) return null;
    await replaceFile(file, addToConfig(text, wanted), (added) => parseConfig(added, file, systemEnvironment()));
    tell(`added to ${file}`);
  }
  const { tunnels } = await loadConfig(file, systemEnvironment());
  return tunnels.find(({ name }) => name === wanted.name) ?? null;
}
