import { access } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { readText } from '../../../lib/files/read-file.ts';
import { editTunnel } from '../../../setup/edit-config.ts';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { loadConfig } from '../../../config/load.ts';
import { parseConfig } from '../../../config/parse.ts';
import { ConfigError } from '../../../config/input/problem.ts';
import { errorCode } from '../../../lib/text.ts';
import { UserError } from '../../../lib/user-error.ts';
import type { Config } from '../../../model/config.ts';
import { formatEndpoint } from '../../../model/endpoint.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { formatServer } from '../../../model/state.ts';
import { checkSetup } from '../../../server-rules/server-setup.ts';
import { addToConfig, newConfig, type NewTunnel } from '../../../setup/new-config.ts';
import { AUTO, forwardPort, withPort } from '../../../setup/via/forward-port.ts';
import { DEFAULT_RANGE } from '../../../setup/via/ports.ts';
import { requireOneServer } from '../one-server.ts';
import type { Settings } from './set.ts';

/** The wanted tunnel, beside what the configuration has. */
export interface Comparison {
  /** The tunnel as it would be written. */
  readonly fresh: TunnelSpec;
  /** The same tunnel, where the configuration has it already; null where it has none of this name. */
  readonly existing: TunnelSpec | null;
  /** The text of the file in which that tunnel has the keys of --set; null where it has them already. */
  readonly edited: string | null;
  /** All tunnels of the file. */
  readonly tunnels: readonly TunnelSpec[];
}

/** Throws where another tunnel has the name, and where the server cannot be set up for this one. */
export async function compareWithFile(
  file: string,
  wanted: NewTunnel,
  jump: boolean,
  settings: Settings,
): Promise<Comparison> {
  const whole = {
    ...wanted,
    remoteForward: wanted.remoteForward.map((forward, index) =>
      forwardPort(forward) === AUTO ? withPort(forward, DEFAULT_RANGE.first + index) : forward,
    ),
  };
  const {
    tunnels: [parsed],
  } = await parseUnwritten(newConfig(whole, null), file, settings);
  const fresh = parsed!;
  checkSetup(fresh, jump);
  const before = await tunnelsOf(file);
  const several = before.find(({ name }) => name === wanted.name);
  if (several !== undefined) checkSeveral(several, fresh, Object.keys(settings));
  else if (before.length > 0 && !wanted.remoteForward.some((forward) => forwardPort(forward) === AUTO))
    await parseUnwritten(addToConfig(await readText(file), whole), file, settings);
  const { tunnels, edited } = await withKeys(file, before, wanted.name, settings);
  const existing = tunnels.find(({ name }) => name === wanted.name) ?? null;
  if (existing !== null && what(existing) !== what(fresh))
    throw new UserError(
      `${file} has another tunnel ${wanted.name} (${difference(existing, fresh)}): give what is to be changed by --set, such as --set host=${fresh.host} --set port=${fresh.port}, edit it there, or choose a name with --name`,
    );
  return { fresh, existing, edited, tunnels };
}

/** Throws a UserError of what was given: the tunnel stands in no file yet, in which a problem could be looked up. */
async function parseUnwritten(text: string, file: string, settings: Settings): Promise<Config> {
  try {
    return await parseConfig(text, file, systemEnvironment());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const texts = error.problems.map(({ message }) => {
      // The name of a tunnel has no dot.
      const [, rest, key = ''] = /^tunnels\.[^.]+\.(([A-Za-z]+).*)$/s.exec(message) ?? [];
      if (rest === undefined) return message;
      return `${Object.hasOwn(settings, key) ? '--set' : "the tunnel's"} ${rest}`;
    });
    throw new UserError(texts.join('\n'), error.exit);
  }
}

/** What init sets up on one server is not to be written for all servers of a tunnel. */
function checkSeveral(existing: TunnelSpec, fresh: TunnelSpec, keys: readonly string[]): void {
  const edits = (of: string) =>
    `Edit ${of} there, and run on each server what \`tunneld server-setup\` prints for it: ${of} for the first, ${of}@HOST for another`;
  const shared = keys.filter((key) => OF_ONE_SERVER.includes(key));
  if (shared.length > 0) requireOneServer(existing, `--set ${shared.join(', ')}`, edits);
  if (what(existing) !== what(fresh)) requireOneServer(existing, 'init', edits);
}

/** What a server must know of a tunnel. */
const OF_ONE_SERVER: readonly string[] = ['host', 'port', 'user', 'hostKeyAlias', 'identityFile', 'remoteForward'];

/** The tunnels of the file once the tunnel of this name has these keys. */
async function withKeys(
  file: string,
  before: readonly TunnelSpec[],
  name: string,
  settings: Settings,
): Promise<Pick<Comparison, 'tunnels' | 'edited'>> {
  const has = before.some((one) => one.name === name);
  if (!has || Object.keys(settings).length === 0) return { tunnels: before, edited: null };
  const edited = editTunnel(await readText(file), name, settings);
  const { tunnels } = await parseConfig(edited, file, systemEnvironment());
  return isDeepStrictEqual(tunnels, before) ? { tunnels: before, edited: null } : { tunnels, edited };
}

function difference(existing: TunnelSpec, fresh: TunnelSpec): string {
  const text = (spec: TunnelSpec) =>
    `${formatServer(spec)} ${spec.forwards.map(({ listen, target }) => `-R ${formatEndpoint(listen)}:${formatEndpoint(target)}`).join(' ')}`;
  return `${text(existing)}, not ${text(fresh)}`;
}

/** None where there is no such file. */
export async function tunnelsOf(file: string): Promise<readonly TunnelSpec[]> {
  const isThere = await access(file).then(
    () => true,
    (error: unknown) => errorCode(error) !== 'ENOENT',
  );
  return isThere ? (await loadConfig(file, systemEnvironment())).tunnels : [];
}

function what({ host, port, user, forwards }: TunnelSpec): string {
  return JSON.stringify([
    host,
    port,
    user,
    forwards.map(({ listen, target }) => [formatEndpoint(listen), formatEndpoint(target)]),
  ]);
}
