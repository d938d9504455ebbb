import { isLoopbackAddress } from '../model/endpoint.ts';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Config } from '../model/config.ts';
import { InstallError } from '../install/steps/install-error.ts';
import { escapeControls } from '../lib/text.ts';
import { KEYS_FOLDER } from '../server-rules/server-setup.ts';
import { readPublicKeys } from '../setup/public-key.ts';
import { fingerprint } from '../connection/known-hosts/key-blob.ts';
import type { ServerSpec } from '../model/spec.ts';
import { EXIT } from './text/exit-code.ts';
import { createQuestions, NoTerminalError } from './text/prompt.ts';
import { report } from './text/report.ts';

export interface UninstallQuestion {
  readonly purge: boolean;
  readonly yes: boolean;
  /** What is there, or null where it cannot be read. */
  readonly config: Config | null;
  /** Whoever calls this came from here. */
  readonly client: string | null;
}

/**
 * Whether the service may go. That is asked where configuration and keys go with it, and where somebody came through the very tunnel
 * that ends: it may be the only way in. Rejects where it has to be asked and nobody is there.
 */
export async function mayUninstall({ purge, yes, config, client }: UninstallQuestion): Promise<boolean> {
  const throughTunnel = client !== null && isOfThisDevice(client);
  if (purge) for (const text of await whatRemains(config)) report(text);
  if (!purge && !throughTunnel) return true;
  const names = config?.tunnels.map(({ name }) => name).join(', ') ?? 'all tunnels';
  const question = [
    ...(throughTunnel
      ? [
          `you came from ${client}, which is this device: through one of its tunnels. This connection then ends, and there may be no other way in.`,
        ]
      : []),
    purge
      ? `The configuration, keys and state of ${names} are deleted for good. Go on?`
      : `The tunnels end (${names}). Go on?`,
  ].join(' ');
  const questions = createQuestions(yes);
  try {
    if (await questions.confirm(question)) return true;
    report('everything was left as it is');
    return false;
  } catch (error) {
    if (error instanceof NoTerminalError) throw new InstallError(`${error.message}\nnothing was changed`, EXIT.usage);
    throw error;
  } finally {
    questions.close();
  }
}

/** A tunnel brings its visitors to sshd from the device itself. */
function isOfThisDevice(address: string): boolean {
  if (isLoopbackAddress(address)) return true;
  try {
    return Object.values(networkInterfaces()).some((list) => list?.some((entry) => entry.address === address));
  } catch {
    return false; // a sandbox does not let us look
  }
}

/** Where the login came from to which this process belongs, as sshd says it; null for one at the console. sudo keeps it to itself. */
export function clientOfLogin(): string | null {
  const own = process.env['SSH_CONNECTION'];
  if (own !== undefined) return addressOf(own);
  for (let pid = process.ppid; pid > 1; pid = parentOf(pid)) {
    const found = /(?:^|\0)SSH_CONNECTION=([^\0]*)/.exec(read(`/proc/${pid}/environ`))?.[1];
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
  return Number(/^\d+ \(.*\) \S (\d+)/s.exec(read(`/proc/${pid}/stat`))?.[1] ?? 0);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** What stays on the servers, and what takes it away there, as sentences. */
async function whatRemains(config: Config | null): Promise<readonly string[]> {
  if (config === null)
    return ['the servers of its tunnels still take its keys: take their lines out of authorized_keys there'];
  const texts: string[] = [];
  for (const tunnel of config.tunnels) {
    const undo = `\`sudo tunneld server-setup ${tunnel.name} --undo\`, as long as the configuration is there, prints what undoes it`;
    for (const server of [tunnel, ...tunnel.jumps])
      texts.push(`${await remainsOn(server)}${server === tunnel ? `; where server-setup made the user, ${undo}` : ''}`);
  }
  return texts;
}

async function remainsOn(server: ServerSpec): Promise<string> {
  const { host, user } = server;
  const keys = await readPublicKeys(server).then(
    (found) => found.keys.map(({ base64 }) => fingerprint(Buffer.from(base64, 'base64'))).join(', '),
    () => 'of this device',
  );
  return `${host} still lets ${user} in with the key ${keys}: take its line out of ${KEYS_FOLDER}/${user} or ~${user}/.ssh/authorized_keys there`;
}
