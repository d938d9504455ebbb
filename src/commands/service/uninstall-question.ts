import { isLoopbackAddress } from '../../model/endpoint.ts';
import { networkInterfaces } from 'node:os';
import type { Config } from '../../model/config.ts';
import { UserError, wrongUsage } from '../../lib/user-error.ts';
import { readIfReadable } from '../../lib/files/read-file.ts';
import { escapeControls } from '../../lib/text.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { KEYS_FOLDER, type PublicKey } from '../../server-rules/server-setup.ts';
import { readLoginKeys } from '../../setup/login-keys.ts';
import { fingerprint } from '../../connection/known-hosts/key-blob.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { confirmOnce, NoTerminalError } from '../text/prompt.ts';
import { report } from '../text/report.ts';
import { orElse } from '../../lib/or-else.ts';

export interface UninstallQuestion {
  readonly purge: boolean;
  readonly yes: boolean;
  /** Null where it cannot be read. */
  readonly config: Config | null;
  /** The address from which the caller has logged in; null for a login at the console. */
  readonly client: string | null;
}

/**
 * Asks whether the service may go, where configuration and keys go with it, and where the caller came through the very tunnel that ends:
 * it may be the only way in. Rejects with a UserError where it may not, or where there is no terminal to ask.
 */
export async function confirmUninstall({ purge, yes, config, client }: UninstallQuestion): Promise<void> {
  const throughTunnel = client !== null && isOfThisDevice(client);
  if (purge) for (const text of await whatRemains(config)) report(text);
  if (!purge && !throughTunnel) return;
  const names = config?.tunnels.map(({ name }) => name).join(', ') ?? 'all tunnels';
  const question = [
    ...(throughTunnel
      ? [
          `you came from ${client}, which is this device: through one of its tunnels. This connection will end, and there may be no other way in.`,
        ]
      : []),
    purge
      ? `The configuration, keys and state of ${names} will be deleted for good. Go on?`
      : `The tunnels will end (${names}). Go on?`,
  ].join(' ');
  try {
    if (!(await confirmOnce(yes, question))) throw new UserError('nothing was changed');
  } catch (error) {
    if (error instanceof NoTerminalError) throw wrongUsage(`${error.message}\nnothing was changed`);
    throw error;
  }
}

/** A visitor of a tunnel reaches sshd from the device itself. */
function isOfThisDevice(address: string): boolean {
  // A sandbox may forbid to list them.
  const interfaces = orElse(networkInterfaces, {});
  return (
    isLoopbackAddress(address) || Object.values(interfaces).some((list) => list?.some((one) => one.address === address))
  );
}

/** The address from which the login of this process came, as sshd has it; null for one at the console. sudo does not pass it on. */
export function clientOfLogin(): string | null {
  const own = process.env['SSH_CONNECTION'];
  if (own !== undefined) return addressOf(own);
  for (let pid = process.ppid; pid > 1; pid = parentOf(pid)) {
    const found = /(?:^|\0)SSH_CONNECTION=([^\0]*)/.exec(readIfReadable(`/proc/${pid}/environ`) ?? '')?.[1];
    if (found !== undefined) return addressOf(found);
  }
  return null;
}

/** ssh(1), ENVIRONMENT: the client's address comes first. */
function addressOf(connection: string): string | null {
  const [address = ''] = connection.split(' ');
  return address === '' ? null : escapeControls(address);
}

/** proc(5): the name in parentheses may hold anything. */
function parentOf(pid: number): number {
  return Number(/^\d+ \(.*\) \S (\d+)/s.exec(readIfReadable(`/proc/${pid}/stat`) ?? '')?.[1] ?? 0);
}

/** What stays on the servers, and how to remove it there, as sentences. */
async function whatRemains(config: Config | null): Promise<readonly string[]> {
  if (config === null)
    return ['the servers of its tunnels still accept its keys: remove their lines from authorized_keys there'];
  const texts: string[] = [];
  for (const tunnel of config.tunnels) {
    const undo = `\`sudo tunneld server-setup ${tunnel.name} --undo\` prints what undoes it, as long as the configuration exists`;
    for (const server of [tunnel, ...tunnel.jumps])
      texts.push(`${await remainsOn(server)}${server === tunnel ? `; where server-setup made the user, ${undo}` : ''}`);
  }
  return texts;
}

async function remainsOn(server: ServerSpec): Promise<string> {
  const { host, user } = server;
  const keys = await readLoginKeys(server, systemClock).then(
    (found) => found.keys.map(nameOf).join(', '),
    () => 'the key of this device',
  );
  return `${host} still lets ${user} in with ${keys}: remove its line from ${KEYS_FOLDER}/${user} or ~${user}/.ssh/authorized_keys there`;
}

function nameOf({ fingerprint: print, certificates = [] }: PublicKey): string {
  if (certificates.length === 0) return `the key ${print}`;
  const authorities = certificates.map(({ authority }) => fingerprint(Buffer.from(authority.base64, 'base64')));
  return `certificates of the authority ${authorities.join(', ')}`;
}
