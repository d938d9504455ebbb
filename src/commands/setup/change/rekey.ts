import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { parseConfig } from '../../../config/parse.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { readText } from '../../../lib/files/read-file.ts';
import { UserError } from '../../../lib/user-error.ts';
import { tunnelOf } from '../../../model/redundancy.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { editTunnel } from '../../../setup/edit-config.ts';
import { requirePlainKeys } from '../../../setup/login-keys.ts';
import { finishRotation, makeNextKey, type Rotation, rotationOf } from '../../../setup/rotation.ts';
import { tryToHandOverKeys } from '../../daemon/reload.ts';
import { configuredTunnel } from '../../find/configured-tunnel.ts';
import { report } from '../../text/report.ts';
import { changeConfig, changingConfig } from '../change-config.ts';
import type { Owner } from '../owner.ts';
import { requireOneServer } from '../one-server.ts';
import { byOwners, byScript, membersOf, membersIn, openOwners, type ServerSide } from './rekey-servers.ts';

export interface RekeyOptions {
  /** The logins of the owner's, one for each server; none where a person runs the scripts there. */
  readonly via: readonly string[];
  readonly jump: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
}

/**
 * Gives a tunnel a new key, at each of its servers. Interrupted at any step, the tunnel is up with the old key or the new one, and the
 * same command goes on from there. The exit code is 0 when the old key is no longer accepted.
 */
export async function rekey(flag: string | null, name: string, options: RekeyOptions): Promise<number> {
  return await changingConfig(flag, `rekey ${name}`, options.yes, async (file, questions) => {
    let owners: readonly Owner[] = [];
    try {
      const { tunnel, all } = await configuredTunnel(flag, name);
      const whole = tunnelOf(tunnel.name);
      const members = membersOf(whole, all);
      requireSameKeys(members);
      const first = join(dirname(file), `${whole}.key`);
      const rotation = await rotationOf({ name: whole, identityFiles: named(tunnel) }, first, 'key');
      if (rotation.phase === 'begun') for (const member of members) await requirePlainKeys(member, 'rekey');
      else report(`the tunnel has the new key ${rotation.next} already`);
      const servers = { members, all, jump: options.jump };
      if (options.via.length > 0) owners = await openOwners(members, options.via, questions);
      const side = owners.length === 0 ? byScript(servers, options.wait) : byOwners(owners, servers, questions);
      return await rotate(rotation, {
        ...side,
        comment: `tunneld ${whole} of ${hostname()}`,
        switchTo: (key) => switchTo(flag ?? file, file, whole, key),
        isOurs: (path) => isOurs(path, file, whole),
      });
    } finally {
      for (const owner of owners) await owner.close();
    }
  });
}

/** What is written into the file is one key for all servers. */
function requireSameKeys(members: readonly TunnelSpec[]): void {
  if (new Set(members.map((member) => JSON.stringify(named(member)))).size === 1) return;
  requireOneServer(
    members[0]!,
    'rekey with keys that differ from server to server',
    () =>
      `Make a key (ssh-keygen -t ed25519 -N '' -f FILE), add it to the identityFile of that server as a second one, and run there what \`tunneld server-setup\` prints for that (${members.map(({ name }) => name).join(', ')}); then take the old key out, and run it again`,
  );
}

/** The usual keys of ssh are everybody's: they are replaced, and stay. */
function named({ identityFiles, identityFilesConfigured }: TunnelSpec): readonly string[] {
  return identityFilesConfigured ? identityFiles : [];
}

/** What a rotation does beyond the files of the keys. */
export interface RotateDeps extends ServerSide {
  readonly comment: string;
  /** Has the tunnel use this key, on trial. */
  switchTo(key: string): Promise<void>;
  /** Whether the old key was made for this tunnel alone. */
  isOurs(path: string): Promise<boolean>;
}

/** The order is what keeps the tunnel up: the server accepts both keys from before the first trial to after the last. */
export async function rotate(rotation: Rotation, deps: RotateDeps): Promise<number> {
  const { next, old, phase } = rotation;
  if (phase === 'begun') {
    await makeNextKey(rotation, deps.comment);
    report(`the new key is ${next}`);
    if (!(await deps.allow([next, ...old], rotation))) return EXIT.failed;
    await deps.prove(next);
    report('the new key is accepted; the tunnel tries it now');
    await deps.switchTo(next);
    report('the tunnel is up with the new key');
  }
  if (!(await deps.allow([next], { ...rotation, phase: 'switched' }))) return EXIT.failed;
  const kept = await finishRotation(rotation, deps.isOurs);
  await tryToHandOverKeys();
  report(`done: the tunnel has ${next}, and no old key`);
  for (const path of kept) report(`${path} stays: it may be used elsewhere`);
  return EXIT.ok;
}

/** Has the tunnel use this key at each of its servers: on trial where the daemon runs. */
export async function switchTo(flag: string, file: string, tunnel: string, key: string): Promise<void> {
  const text = editTunnel(await readText(file), tunnel, { identityFile: key });
  const changed = await membersIn(text, file, tunnel);
  for (const { name, identityFiles } of changed) {
    if (identityFiles.length !== 1 || identityFiles[0] !== key)
      throw new UserError(
        `${file} does not decide alone which keys ${name} has (${identityFiles.join(', ')}): ssh_config adds some, which has to be changed by hand`,
      );
  }
  await changeConfig(flag, file, text);
}

/** Made by init or by this command, for this tunnel, and of no other tunnel in the file. */
export async function isOurs(path: string, file: string, name: string): Promise<boolean> {
  const { tunnels } = await parseConfig(await readText(file), file, systemEnvironment());
  const comment = await readFile(`${path}.pub`, 'utf8').catch(() => '');
  const isUsed = tunnels.some(({ identityFiles }) => identityFiles.includes(path));
  return new RegExp(`^\\S+ \\S+ tunneld ${name} of `).test(comment) && !isUsed;
}
