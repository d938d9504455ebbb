import { administrator } from '../find/administrator.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { hostQuery, knownHostsLine } from '../../connection/known-hosts/check-host-key.ts';
import { loadKnownHosts } from '../../connection/known-hosts/file.ts';
import { matchesHost } from '../../connection/known-hosts/match.ts';
import { readHostKeyLines } from '../../host/host-keys.ts';
import { isMeant } from '../../model/redundancy.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { type ClientOptions, clientText } from '../../setup/client.ts';
import { runThere } from '../../connection/route/open-login.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { firstLine } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { formatServer } from '../../model/state.ts';
import { configuredTunnel } from '../find/configured-tunnel.ts';
import { withQuestions } from '../text/prompt.ts';
import { report } from '../text/report.ts';
import { logIn } from './owner.ts';
import { trustOther } from './owner-of.ts';

export interface ClientSetupOptions {
  readonly user: string | null;
  readonly alias: string | null;
  /** The login of people on the server, `[me@]server[:port]`. */
  readonly via: string | null;
  /** The login on the laptop that gets the block, `[me@]laptop[:port]`; null to print it. */
  readonly install: string | null;
}

/** Prints what people on the other side paste; `hostKeys` is the folder of this device's own host keys. */
export async function printClientSetup(
  config: string | null,
  name: string,
  { user, alias, via, install }: ClientSetupOptions,
  hostKeys = '/etc/ssh',
): Promise<void> {
  const { tunnel, all } = await configuredTunnel(config, name);
  // By the tunnel's name, all its servers.
  const others = all.filter((one) => one !== tunnel && isMeant(one.name, name));
  const login = via === null ? null : await administrator(via);
  const called = alias ?? aliasOf(tunnel);
  const paste = await clientPaste(tunnel, { user, alias: called, via: login, hostKeys }, others);
  if (install === null) process.stdout.write(paste);
  else await installThere(paste, install, called);
}

/** Runs the block on the laptop, over a login as init does for a server: agent, keys, or a password that is asked for. */
async function installThere(paste: string, destination: string, alias: string): Promise<void> {
  await withQuestions(false, async (questions) => {
    const laptop = await trustOther(await administrator(destination, null, '--install'), questions);
    const name = formatServer(laptop);
    const login = await logIn(laptop, name, questions, 'on the laptop (--install me@laptop)');
    try {
      const limits = { limit: OUTPUT_BYTES, ms: INSTALL_MS, clock: systemClock };
      const { code, stderr } = await runThere(login, 'sh -s', paste, limits, NEVER);
      if (code !== 0) throw new UserError(`${name}: the block was not written: ${firstLine(stderr)}`);
    } finally {
      await login.close();
    }
    report(`${name} has it in ~/.ssh/config.d: there, \`ssh ${alias}\` reaches this device`);
  });
}

const OUTPUT_BYTES = 64 * 1024;
const INSTALL_MS = 30_000;

/** The block for the laptop of a person who reaches this device. */
export async function clientPaste(
  tunnel: TunnelSpec,
  given: Pick<ClientSetupOptions, 'user' | 'alias'> & Pick<ClientOptions, 'via'> & { readonly hostKeys: string },
  others: readonly TunnelSpec[] = [],
): Promise<string> {
  const { env, userName } = systemEnvironment();
  return clientText(tunnel, {
    // With sudo the person who logs in here is its caller.
    user: given.user ?? (env['SUDO_USER'] || userName),
    alias: given.alias ?? aliasOf(tunnel),
    others,
    hostKeys: await readHostKeyLines(given.hostKeys),
    via: given.via,
    serverKeys: (
      await Promise.all([serverKeys(tunnel, given.via ?? tunnel), ...others.map((one) => serverKeys(one, one))])
    ).flat(),
  });
}

/** The name of a tunnel at one of its servers has characters that ssh takes for others. */
function aliasOf({ name }: TunnelSpec): string {
  return name.replaceAll(/[@:]/g, '-');
}

/**
 * What this device knows the server by, where the laptop reaches it at the same address. For ssh a spare host key is one like any other: it
 * would ask for a key of that type, and refuse the one that the server shows, where no line has that.
 */
async function serverKeys(
  { userKnownHostsFiles, globalKnownHostsFiles, host, port, hostKeyAlias }: TunnelSpec,
  reached: Pick<TunnelSpec, 'host' | 'port'>,
): Promise<readonly string[]> {
  if (reached.host !== host || reached.port !== port) return [];
  const { name } = hostQuery(host, port, hostKeyAlias);
  const { entries } = await loadKnownHosts([...userKnownHostsFiles, ...globalKnownHostsFiles]);
  const known = entries.filter(({ marker, hosts }) => marker === 'none' && matchesHost(hosts, name));
  const shown = known.filter(({ spare }) => spare !== true).map(({ keyType }) => keyType);
  return known
    .filter(({ spare, keyType }) => spare !== true || shown.includes(keyType))
    .map(({ key }) => knownHostsLine(hostQuery(host, port, null), key).trimEnd());
}
