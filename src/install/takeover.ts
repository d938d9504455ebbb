import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { adHocConfig, adHocName } from '../config/ad-hoc.ts';
import type { Config } from '../config/config.ts';
import type { ConfigEnvironment } from '../config/environment.ts';
import { parseConfig } from '../config/parse.ts';
import { ConfigError, formatProblem } from '../config/problem.ts';
import { printConfig } from '../config/print.ts';
import { formatEndpoint, type ServerSpec, type TunnelSpec } from '../tunnel/spec.ts';
import { createIdentityCache } from '../tunnel/ssh2/identities.ts';
import { loadIdentityFile } from '../tunnel/ssh2/identity-file.ts';
import type { Account } from './accounts.ts';
import { look } from './files.ts';
import { InstallError } from './install-error.ts';
import { linesAbout } from './known-lines.ts';
import type { OldCommand } from './old-unit.ts';
import { CONFIG, ETC, SERVICE_USER, serviceEnvironment, STATE } from './places.ts';
import type { Step } from './step.ts';

/** What makes the service do what a unit with ssh did. */
export interface Takeover {
  readonly yaml: string;
  /** The copies of keys, and what is known of the servers. */
  readonly files: readonly Step[];
  /** What will be different, and what was left out. */
  readonly notes: readonly string[];
}

/** Reads what the old command needs, as its user would have, and lays it out where the service may see it. */
export async function planTakeover(
  command: OldCommand,
  account: Pick<Account, 'name' | 'home' | 'uid'>,
  here: ConfigEnvironment,
): Promise<Takeover> {
  const config = await readCommand(command, account, here);
  const work = new Copies();
  const tunnels: TunnelSpec[] = [];
  for (const tunnel of config.tunnels) {
    const jumps: ServerSpec[] = [];
    for (const jump of tunnel.jumps) jumps.push(await work.ofServer(jump, tunnel.name));
    tunnels.push({ ...tunnel, ...(await work.ofServer(tunnel, tunnel.name)), jumps });
    if (tunnel.entry.type === 'command')
      work.notes.push(`the ProxyCommand runs as the user ${SERVICE_USER}, who sees no homes: ${tunnel.entry.command}`);
    for (const { kind, listen } of tunnel.forwards)
      if (kind !== 'remote' && listen.type === 'tcp' && listen.port < 1024)
        work.notes.push(`the service may not listen on ${formatEndpoint(listen)} of this device: ports from 1024 on`);
  }
  const service = serviceEnvironment(here);
  const head = `# Taken over from tunnel.service, which ran as ${command.user}:\n#   ${[command.program, ...command.args].join(' ').replaceAll('\n', ' ')}\n`;
  const yaml = head + printConfig({ ...config, tunnels }, service);
  await parseConfig(yaml, CONFIG, service);
  const about = /^(?:this tunnel is called|-[fMNTn] )/;
  return {
    yaml,
    files: await work.steps(),
    notes: [...config.warnings, ...config.notes.filter((note) => !about.test(note)), ...work.notes],
  };
}

async function readCommand(
  { program, args, environment, directory }: OldCommand,
  { name, home, uid }: Pick<Account, 'name' | 'home' | 'uid'>,
  here: ConfigEnvironment,
): Promise<Config> {
  const { platform, aes } = here;
  const env = { home, userName: name, uid, platform, env: { ...environment, HOME: home }, aes, directory };
  try {
    return await adHocConfig(args, adHocName(args), env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const why = error.problems.map((problem) => formatProblem(problem)).join('\n');
    throw new InstallError(`the ${program} of the old unit cannot be taken over:\n${why}`);
  }
}

class Copies {
  readonly notes: string[] = [];
  readonly #copies = new Map<string, Step>();
  readonly #lines = new Set<string>();

  async ofServer<S extends ServerSpec>(server: S, name: string): Promise<S> {
    const keys: string[] = [];
    for (const path of server.identityFiles) {
      const copy = await this.#key(path, name, server.identityFilesConfigured);
      if (copy !== null) keys.push(copy);
    }
    if (server.identityAgent !== null)
      this.notes.push(`the agent ${server.identityAgent} is not used: the service cannot see it`);
    if (keys.length === 0)
      throw new InstallError(
        `there is no key for ${server.user}@${server.host} that the service can use` +
          `${this.notes.length === 0 ? '' : ` (${this.notes.join('; ')})`}: make one with \`sudo tunneld init\`, or take the passphrase off a copy of yours`,
      );
    const hidden = server.revokedHostKeys.find((path) => /^\/(?:home|root|run\/user)\//.test(path));
    if (hidden !== undefined)
      throw new InstallError(`the service cannot read ${hidden} (RevokedHostKeys): move it to /etc/ssh first`);
    const { lines, known } = await linesAbout(server);
    for (const line of lines) this.#lines.add(line);
    if (!known && server.strictHostKeyChecking === 'yes')
      this.notes.push(
        `no known_hosts file of the old command has a key of ${server.host}: unless the system's has, the tunnel will say host-key-unknown`,
      );
    const files = [join(STATE, 'known_hosts')];
    return {
      ...server,
      identityFiles: keys,
      identityFilesConfigured: true,
      identityAgent: null,
      userKnownHostsFiles: files,
    };
  }

  /** Where the copy of a key will be; null for one that is not there or of no use. */
  async #key(path: string, name: string, configured: boolean): Promise<string | null> {
    if (path.startsWith(`${ETC}/`)) return path;
    const known = this.#copies.get(path);
    if (known?.type === 'file') return known.path;
    const loaded = await loadIdentityFile(path, null, () => Promise.resolve(null), createIdentityCache());
    if (loaded.key === null) {
      if (configured || loaded.failure.code === 'key-passphrase') this.notes.push(loaded.failure.message);
      return null;
    }
    const content = await readFile(path, 'utf8');
    const target = await this.#freeName(name, content);
    this.#copies.set(path, secret(target, content));
    const publicHalf = await readFile(`${path}.pub`, 'utf8').catch(() => null);
    if (publicHalf !== null) this.#copies.set(`${path}.pub`, { ...secret(`${target}.pub`, publicHalf), mode: 0o644 });
    this.notes.push(`the key ${path} is copied to ${target}; ${basename(path)} itself stays where it is`);
    return target;
  }

  /** A name that no other key has. */
  async #freeName(name: string, content: string): Promise<string> {
    for (let number = 1; ; number += 1) {
      const path = `${ETC}/${name}${number === 1 ? '' : `-${number}`}.key`;
      const taken = [...this.#copies.values()].some((step) => 'path' in step && step.path === path);
      const there = taken ? null : await look(path);
      if (!taken && (there === null || there.content === content)) return path;
    }
  }

  async steps(): Promise<readonly Step[]> {
    const path = join(STATE, 'known_hosts');
    const there = (await look(path))?.content ?? '';
    const missing = [...this.#lines].filter((line) => !there.split('\n').includes(line));
    const content = `${there === '' || there.endsWith('\n') ? there : `${there}\n`}${missing.map((line) => `${line}\n`).join('')}`;
    const knownHosts: Step = { type: 'file', path, mode: 0o600, owner: SERVICE_USER, group: SERVICE_USER, content };
    return [...this.#copies.values(), ...(content === '' ? [] : [knownHosts])];
  }
}

function secret(path: string, content: string): Extract<Step, { type: 'file' }> {
  return { type: 'file', path, mode: 0o600, owner: 'root', group: 'root', content };
}
