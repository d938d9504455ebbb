import { basename, join, resolve } from 'node:path';
import { adHocConfig, adHocName } from '../../config/command-line/ad-hoc.ts';
import type { Config } from '../../model/config.ts';
import type { ConfigEnvironment } from '../../config/input/environment.ts';
import { parseConfig } from '../../config/parse.ts';
import { ConfigError, formatProblem } from '../../config/input/problem.ts';
import { printConfig } from '../../config/print.ts';
import { readRegularFile } from '../../lib/files/read-file.ts';
import { registerSecret } from '../../lib/secrets.ts';
import { errorText, escapeControls } from '../../lib/text.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import type { ServerSpec, TunnelSpec } from '../../model/spec.ts';
import type { Account } from '../steps/accounts.ts';
import { readFileState } from '../steps/files.ts';
import { UserError } from '../../lib/user-error.ts';
import { type KnownHostsText, linesOfServer } from './known-hosts-lines.ts';
import { readKey, readKnownHosts } from './old-files.ts';
import type { OldCommand } from './old-unit.ts';
import type { OldPassword } from './ssh-command.ts';
import { ownerOfPath, asUser } from '../steps/effective-user.ts';
import { CONFIG, ETC, SERVICE_USER, serviceEnvironment, STATE } from '../systemd/service-paths.ts';
import type { Step } from '../steps/step.ts';

/** A command, and whose files it uses. */
export interface OwnedCommand {
  readonly command: OldCommand;
  readonly account: Account;
  /** The name of its tunnel where another one has that of its server. */
  readonly alias?: string;
}

/** Plans a takeover: reads the files of the old command with its user's rights, and plans copies that the service can read. */
export async function planTakeover(command: OldCommand, account: Account, here: ConfigEnvironment) {
  const { config, files, notes } = await planTunnels([{ command, account }], new Set(), here);
  const service = serviceEnvironment(here);
  const line = escapeControls([command.program, ...command.args].join(' '));
  const head = `# Taken over from tunnel.service, which ran as ${command.user}:\n#   ${line}\n`;
  const yaml = head + printConfig(config, service);
  await parseConfig(yaml, CONFIG, service);
  return { yaml, files, notes };
}

/**
 * The tunnels with which the service does what old commands did, with copies of the keys and passwords, known_hosts, and notes on what will
 * differ, and what was left out. `taken` are names that the tunnels must not have.
 */
export async function planTunnels(
  commands: readonly OwnedCommand[],
  taken: ReadonlySet<string>,
  here: ConfigEnvironment,
) {
  const copying = new Copies();
  const names = new Set(taken);
  const notes: string[] = [];
  const tunnels: TunnelSpec[] = [];
  let first: Config | null = null;
  for (const { command, account, alias } of commands) {
    const config = await oldConfig(command, account, here);
    first ??= config;
    notes.push(...config.warnings, ...config.notes.filter((note) => !ABOUT_THE_COMMAND.test(note)));
    copying.begin(account, command);
    for (const tunnel of config.tunnels) tunnels.push(await copied(named(tunnel, names, alias), copying));
  }
  return {
    config: { ...first!, tunnels },
    files: await copying.steps(),
    notes: [...new Set([...notes, ...copying.notes])],
  };
}

const ABOUT_THE_COMMAND = /^(?:the name of this tunnel is|-[fMNTn] )/;

/** With a name that no other has. */
function named(tunnel: TunnelSpec, names: Set<string>, alias?: string): TunnelSpec {
  const first = names.has(tunnel.name) && alias !== undefined ? alias : tunnel.name;
  const numbered = (number: number) => (number === 1 ? first : `${first}-${number}`);
  let number = 1;
  while (names.has(numbered(number))) number += 1;
  names.add(numbered(number));
  return { ...tunnel, name: numbered(number) };
}

async function copied(tunnel: TunnelSpec, copying: Copies): Promise<TunnelSpec> {
  const jumps: ServerSpec[] = [];
  for (const jump of tunnel.jumps) jumps.push(await copying.ofServer(jump, tunnel.name));
  if (tunnel.entry.type === 'command')
    copying.notes.push(
      `the ProxyCommand runs as the user ${SERVICE_USER}, without access to home directories: ${tunnel.entry.command}`,
    );
  for (const { kind, listen } of tunnel.forwards)
    if (kind !== 'remote' && listen.type === 'tcp' && listen.port < 1024)
      copying.notes.push(
        `the service cannot listen on ${formatEndpoint(listen)} of this device: use a port from 1024 on`,
      );
  const passwordFile = await copying.password(tunnel.name);
  return { ...(await copying.ofServer({ ...tunnel, passwordFile }, tunnel.name)), jumps };
}

/** The old command as a configuration. For root, the file of -F is read with the rights of its directory's owner. */
export async function oldConfig(
  { program, args, environment, directory }: OldCommand,
  account: Account,
  here: ConfigEnvironment,
): Promise<Config> {
  const { platform, aes } = here;
  const { name, home, uid } = account;
  const env = { home, userName: name, uid, platform, env: { ...environment, HOME: home }, aes, directory };
  const file = args.flatMap(
    (word, index) =>
      /^-F(.*)$/s
        .exec(word)
        ?.slice(1)
        .map((rest) => rest || args[index + 1] || '') ?? [],
  );
  const user = uid !== 0 ? account : ownerOfPath(resolve(directory, file[0] ?? '/'));
  try {
    return await asUser(user, () => adHocConfig(args, adHocName(args), env));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const why = error.problems.map((problem) => formatProblem(problem)).join('\n');
    throw new UserError(`the ${program} of the old unit cannot be taken over:\n${why}`);
  }
}

class Copies {
  #account: Pick<Account, 'name' | 'uid' | 'gid'> = { name: 'root', uid: 0, gid: 0 };
  #password: OldPassword | null = null;
  readonly notes: string[] = [];
  readonly #copies = new Map<string, Step>();
  readonly #lines = new Set<string>();

  /** What follows is about this command. */
  begin(account: Account, { password }: OldCommand): void {
    this.#account = account;
    this.#password = password;
  }

  /** The path of a file with the password of sshpass; null where there is none. */
  async password(name: string): Promise<string | null> {
    if (this.#password === null) return null;
    const text = await this.#passwordText(this.#password);
    registerSecret(text);
    const path = `${ETC}/${name}.password`;
    this.#copies.set(path, secret(path, `${text}\n`));
    const from = this.#password.type === 'file' ? ` from ${this.#password.path}` : '';
    this.notes.push(`the password of sshpass${from} is copied to ${path}, which only root can read`);
    return path;
  }

  async #passwordText(password: OldPassword): Promise<string> {
    if (password.type === 'text') return password.text;
    try {
      const bytes = await this.#asOwner(password.path, () => readRegularFile(password.path, 64 * 1024));
      return bytes.toString('utf8').split(/\r?\n/, 1)[0] ?? '';
    } catch (error) {
      throw new UserError(
        `${password.path}, the password file of the old command, cannot be read: ${errorText(error)}`,
      );
    }
  }

  /** Reads a file with the rights of the old command; for root, with those of its directory's owner. */
  async #asOwner<T>(path: string, work: () => T | Promise<T>): Promise<T> {
    return await asUser(this.#account.uid === 0 ? ownerOfPath(path) : this.#account, work);
  }

  async ofServer<S extends ServerSpec>(server: S, name: string): Promise<S> {
    const keys: string[] = [];
    for (const path of server.identityFiles) {
      const copy = await this.#key(path, name, server.identityFilesConfigured);
      if (copy !== null) keys.push(copy);
    }
    if (server.identityAgent !== null)
      this.notes.push(`the agent ${server.identityAgent} is not used: the service has no access to it`);
    if (keys.length === 0 && server.passwordFile === null)
      throw new UserError(
        `no key for ${server.user}@${server.host} can be used by the service` +
          `${this.notes.length === 0 ? '' : ` (${this.notes.join('; ')})`}: create one with \`sudo tunneld init\`, or remove the passphrase from a copy of yours`,
      );
    const hidden = server.revokedHostKeys.find((path) => /^\/(?:home|root|run\/user)\//.test(path));
    if (hidden !== undefined)
      throw new UserError(`the service cannot read ${hidden} (RevokedHostKeys): move it to /etc/ssh first`);
    const texts: KnownHostsText[] = [];
    for (const file of server.userKnownHostsFiles)
      texts.push({ file, text: await this.#asOwner(file, () => readKnownHosts(file)) });
    const { lines, known } = linesOfServer(server, texts);
    for (const line of lines) this.#lines.add(line);
    if (!known && server.strictHostKeyChecking === 'yes')
      this.notes.push(
        `no known_hosts file of the old command has a key of ${server.host}: unless the system's file has one, the tunnel will fail with host-key-unknown`,
      );
    const files = [join(STATE, 'known_hosts')];
    return {
      ...server,
      // With a password alone, the keys that ssh tries by default: the service has none of them.
      ...(keys.length === 0
        ? { identityFilesConfigured: false }
        : { identityFiles: keys, identityFilesConfigured: true }),
      identityAgent: null,
      userKnownHostsFiles: files,
    };
  }

  /** The path of the copy of a key; null where the key is missing or unusable. */
  async #key(path: string, name: string, configured: boolean): Promise<string | null> {
    if (path.startsWith(`${ETC}/`)) return path;
    const known = this.#copies.get(path);
    if (known?.type === 'file') return known.path;
    const found = await this.#asOwner(path, () => readKey(path));
    if ('failure' in found) {
      if (configured || found.failure.code === 'key-passphrase') this.notes.push(found.failure.message);
      return null;
    }
    const { content, publicHalf } = found;
    const target = await this.#freeName(name, content);
    this.#copies.set(path, secret(target, content));
    if (publicHalf !== null) this.#copies.set(`${path}.pub`, { ...secret(`${target}.pub`, publicHalf), mode: 0o644 });
    this.notes.push(`the key ${path} is copied to ${target}; ${basename(path)} itself is kept`);
    return target;
  }

  /** A path that no other key has. */
  async #freeName(name: string, content: string): Promise<string> {
    for (let number = 1; ; number += 1) {
      const path = `${ETC}/${name}${number === 1 ? '' : `-${number}`}.key`;
      const taken = [...this.#copies.values()].some((step) => 'path' in step && step.path === path);
      const existing = taken ? null : await readFileState(path);
      if (!taken && (existing === null || existing.content === content)) return path;
    }
  }

  async steps(): Promise<readonly Step[]> {
    const path = join(STATE, 'known_hosts');
    const existing = (await readFileState(path))?.content ?? '';
    const missing = [...this.#lines].filter((line) => !existing.split('\n').includes(line));
    const content = `${existing === '' || existing.endsWith('\n') ? existing : `${existing}\n`}${missing.map((line) => `${line}\n`).join('')}`;
    const knownHosts: Step = { type: 'file', path, mode: 0o600, owner: SERVICE_USER, group: SERVICE_USER, content };
    return [...this.#copies.values(), ...(content === '' ? [] : [knownHosts])];
  }
}

function secret(path: string, content: string): Extract<Step, { type: 'file' }> {
  return { type: 'file', path, mode: 0o600, owner: 'root', group: 'root', content };
}
