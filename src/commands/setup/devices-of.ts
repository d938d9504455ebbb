import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { systemEnvironment } from '../../config/input/environment.ts';
import { parseConfig } from '../../config/parse.ts';
import { certificateOf, readCertificateFile } from '../../connection/auth/certificate-file.ts';
import { isMissing } from '../../connection/auth/secret-file.ts';
import { keyTypeOf } from '../../connection/known-hosts/key-blob.ts';
import { readHostKeys } from '../../host/host-keys.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { readTextIfThere } from '../../lib/files/read-file.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { errorCode, errorText } from '../../lib/text.ts';
import { UserError, wrongUsage } from '../../lib/user-error.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { formatAddress } from '../../model/endpoint.ts';
import { serverKey } from '../../model/server-key.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { hasPort } from '../../server-rules/choose-port.ts';
import { sharesUser } from '../../server-rules/same-login.ts';
import { type KeyedTunnel, type PublicKey, serverSetup } from '../../server-rules/server-setup.ts';
import type { DeviceSetup } from '../../setup/script/many.ts';
import { certified } from '../../setup/login-keys.ts';
import { publicKeyOf } from '../../setup/public-key.ts';
import { hostKeyFor } from '../../setup/host-key-record.ts';

/** Which tunnels of the devices are meant: those of this name, null for all. */
interface Chosen {
  readonly name: string | null;
  readonly jump: boolean;
}

/**
 * The setups of all devices in a directory. Each device is a directory with its `config.yaml`, the `.pub` files of its tunnels' keys and, so
 * that `tunneld fleet` can verify it, of its SSH server; nothing secret. `server` is as all of them reach it. Throws a
 * UserError where two devices want one user or one port.
 */
export async function devicesOf(directory: string, chosen: Chosen) {
  const names = (await entriesOf(directory)).filter((entry) => entry.isDirectory());
  const devices: DeviceSetup[] = [];
  const servers = new Map<string, string>();
  for (const { name } of names.toSorted((a, b) => a.name.localeCompare(b.name))) {
    const device = checkDevice(name);
    const tunnels = await tunnelsOf(join(directory, name), chosen);
    for (const tunnel of tunnels) servers.set(serverKey(tunnel), formatAddress(tunnel));
    const groups = tunnels.filter((one, index) => tunnels.findIndex((other) => sharesUser(one, other)) === index);
    for (const first of groups) {
      const same = tunnels.filter((one) => sharesUser(one, first));
      const keyed = await Promise.all(same.map((one) => keyedIn(join(directory, name), one, chosen.jump)));
      devices.push({ device, setup: serverSetup(keyed as [KeyedTunnel, ...KeyedTunnel[]]) });
    }
  }
  if (devices.length === 0 && names.length > 0 && chosen.name !== null)
    throw new UserError(`no device of ${directory} has a tunnel ${JSON.stringify(chosen.name)}`, EXIT.noSuchTunnel);
  if (devices.length === 0)
    throw new UserError(
      `${directory} has no device: each is a directory with its config.yaml and the .pub files of its keys (docs/many-devices.md)`,
    );
  const server = onlyOne([...servers.values()]);
  refuseClashes(devices);
  return { devices, server };
}

async function entriesOf(directory: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    const isNone = ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '');
    throw wrongUsage(`--from ${directory}: ${isNone ? 'there is no such directory' : errorText(error)}`, {
      cause: error,
    });
  }
}

/** It stands in a comment of the script. */
function checkDevice(name: string): string {
  if (/^[\w.-]{1,64}$/.test(name)) return name;
  throw new UserError(`${JSON.stringify(name)} is not a name for a device: use letters, digits, '.', '_' and '-'`);
}

async function tunnelsOf(directory: string, { name }: Chosen): Promise<readonly TunnelSpec[]> {
  const file = resolve(directory, 'config.yaml');
  const text = await readTextIfThere(file);
  if (text === null) throw new UserError(`${file} does not exist`);
  // Its home directory is not the one of whoever runs this.
  const { tunnels } = await parseConfig(text, file, { ...systemEnvironment(), home: resolve(directory) });
  return tunnels.filter((one) => name === null || one.name === name);
}

async function keyedIn(directory: string, spec: TunnelSpec, jump: boolean): Promise<KeyedTunnel> {
  const keys: PublicKey[] = [];
  for (const path of spec.identityFiles) {
    const file = join(directory, `${basename(path)}.pub`);
    const text = await readTextIfThere(file);
    if (text === null && spec.identityFilesConfigured)
      throw new UserError(`${file} does not exist: it is the key of ${spec.name}`);
    if (text !== null) keys.push(await withCertificates(directory, spec, path, publicKeyIn(text, file)));
  }
  if (keys.length === 0) throw new UserError(`${directory} has no public key of ${spec.name}`);
  const hostKeys = await readHostKeys(directory);
  return { spec, keys, jump: jump && hasPort(spec), hostKey: hostKeyFor(spec, hostKeys) };
}

/** A certificate of the key lies beside it, under its own name. */
async function withCertificates(
  directory: string,
  spec: TunnelSpec,
  identityFile: string,
  key: PublicKey,
): Promise<PublicKey> {
  const isNamed = spec.certificateFiles.length > 0;
  const names = isNamed ? spec.certificateFiles : [certificateOf(identityFile)];
  let all = key;
  for (const path of names.map((name) => join(directory, basename(name)))) {
    const certificate = await readCertificateFile(path);
    if (certificate instanceof TunnelFailure) {
      if (!isNamed && isMissing(certificate)) continue;
      throw new UserError(certificate.message);
    }
    if (certificate.key.toString('base64') === key.base64)
      all = certified(all, { path, certificate }, spec.user, systemClock);
  }
  return all;
}

function publicKeyIn(text: string, file: string): PublicKey {
  const [, type = '', base64 = '', comment = ''] = /^(\S+) ([A-Za-z0-9+/]+=*)(?: ([^\p{Cc}]*))?\s*$/u.exec(text) ?? [];
  if (type === '' || keyTypeOf(Buffer.from(base64, 'base64')) !== type)
    throw new UserError(`${file} holds no public key of ssh`);
  return publicKeyOf(Buffer.from(base64, 'base64'), comment);
}

/** One script is for one server. */
function onlyOne(servers: readonly string[]): string {
  if (servers.length > 1)
    throw new UserError(
      `these tunnels are of ${servers.length} servers (${servers.slice(0, 5).join(', ')}): name one tunnel (server-setup NAME --from …)`,
    );
  return servers[0]!;
}

function refuseClashes(devices: readonly DeviceSetup[]): void {
  const users = new Map<string, string>();
  const ports = new Map<string, string>();
  for (const { device, setup } of devices) {
    const other = users.get(setup.user);
    if (other !== undefined)
      throw new UserError(`${device} and ${other} both log in as ${setup.user}: each device needs a user of its own`);
    users.set(setup.user, device);
    for (const listen of listensOf(setup.keyLines)) {
      const holder = ports.get(listen);
      if (holder !== undefined && holder !== device)
        throw new UserError(`${device} and ${holder} both want port ${listen} of the server: change one of them`);
      ports.set(listen, device);
    }
  }
}

function listensOf(keyLines: readonly string[]): readonly string[] {
  return keyLines.flatMap((line) => [...line.matchAll(/permitlisten="(?:[^"]*:)?(\d+)"/g)].map(([, port]) => port!));
}
