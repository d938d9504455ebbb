import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { loadConfig } from '../../../config/load.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { readText } from '../../../lib/files/read-file.ts';
import { UserError, wrongUsage } from '../../../lib/user-error.ts';
import { tunnelOf } from '../../../model/redundancy.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { formatServer } from '../../../model/state.ts';
import { editTunnel } from '../../../setup/edit-config.ts';
import { entryHas, serversWith } from '../../../setup/edit-servers.ts';
import { checkKey } from '../../../setup/new-key.ts';
import { fixedPorts, remoteForwardWith, withPorts } from '../../../setup/new-ports.ts';
import { requirePlainKeys } from '../../../setup/login-keys.ts';
import { readPublicKeys } from '../../../setup/public-key.ts';
import { marksOf } from '../../../server-rules/server-setup.ts';
import { finishRotation, makeNextKey, type Rotation, rotationOf } from '../../../setup/rotation.ts';
import { commonFreePort } from '../../../setup/via/ports.ts';
import { tryToHandOverKeys } from '../../daemon/reload.ts';
import { noSuchTunnel } from '../../text/no-such-tunnel.ts';
import { askFor, type Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { changeConfig, changingConfig } from '../change-config.ts';
import { untilServerIsReady } from '../wait-for-server.ts';
import { hasMark, type Owner } from '../owner.ts';
import { isOurs, type RekeyOptions } from './rekey.ts';
import { byOwners, byScript, membersOf, membersIn, openOwners } from './rekey-servers.ts';

export interface NewIdentityOptions extends RekeyOptions {
  /** What the device is called from now on. */
  readonly name: string | null;
  /** The first port of the server, where that cannot be looked at. */
  readonly port: string | null;
}

/**
 * Makes a device of its own of one whose card is a copy of another's: a new key, a new user and new ports of the server, on trial. The
 * original's are not touched. Run again, it goes on where it was.
 */
export async function newIdentity(
  flag: string | null,
  tunnelName: string | null,
  options: NewIdentityOptions,
): Promise<number> {
  const command = `new-identity ${tunnelName ?? ''}`.trimEnd();
  return await changingConfig(flag, command, options.yes, async (file, questions) => {
    let owners: readonly Owner[] = [];
    try {
      const { tunnels: all } = await loadConfig(file, systemEnvironment());
      const whole = chosen(all, tunnelName);
      const members = membersOf(whole, all);
      const identityFiles = [...new Set(members.flatMap((member) => member.identityFiles))];
      const first = join(dirname(file), `${whole}.key`);
      const rotation = await rotationOf({ name: whole, identityFiles }, first, 'identity');
      const copied = { flag: flag ?? file, file, whole, members, all, rotation };
      if (rotation.phase === 'begun') {
        for (const member of members) await requirePlainKeys(member, 'new-identity');
        const device = checkDevice(options.name ?? (await nameFor(members[0]!, questions)));
        const user = `tunnel-${device}`.toLowerCase().slice(0, 32);
        const isSeen = options.via.length > 0;
        const ports = isSeen ? [] : portsFrom(options.port, fixedPorts(members[0]!).length);
        const asked = members.map((member) => ({ ...member, user }));
        if (isSeen) owners = await openOwners(asked, options.via, questions);
        const wanted = isSeen ? await agreed(copied, user, owners) : renewed(copied, user, ports);
        await makeNextKey(rotation, `tunneld ${whole} of ${device}`);
        if (!(await setUp(copied, wanted, owners, options, questions))) return EXIT.failed;
        await switchTo(copied, wanted);
        report(
          `this device is ${device} now: ${wanted.map(formatServer).join(', ')}, port ${fixedPorts(wanted[0]!).join(', ')} of the server`,
        );
      }
      await finish(copied);
      return EXIT.ok;
    } finally {
      for (const owner of owners) await owner.close();
    }
  });
}

/** The tunnel of the original, which the copied card has, too. */
interface CopiedTunnel {
  readonly flag: string;
  readonly file: string;
  /** The tunnel's name in the file. */
  readonly whole: string;
  /** The tunnel at each of its servers. */
  readonly members: readonly TunnelSpec[];
  readonly all: readonly TunnelSpec[];
  readonly rotation: Rotation;
}

/** The name of a tunnel in the file. */
function chosen(all: readonly TunnelSpec[], name: string | null): string {
  const names = [...new Set(all.map((one) => tunnelOf(one.name)))];
  const found = name === null && names.length === 1 ? all[0] : all.find((one) => one.name === name);
  if (found !== undefined) return tunnelOf(found.name);
  if (name !== null) throw noSuchTunnel(name, all);
  throw wrongUsage(`name one of the tunnels: ${names.join(', ')}`);
}

/** The copy has the original's name, in the comment of the key if not elsewhere. */
async function nameFor({ identityFiles: [key] }: TunnelSpec, { ask }: Questions): Promise<string> {
  const comment = key === undefined ? '' : await readFile(`${key}.pub`, 'utf8').catch(() => '');
  const before = / of (\S+)\s*$/.exec(comment)?.[1];
  const own = hostname().toLowerCase();
  if (before !== undefined && before.toLowerCase() !== own) return own;
  const question = 'A name for this device, unlike that of the original';
  return await askFor(ask, question, `${own}-2`, checkDevice, 'name this device with --name');
}

function checkDevice(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,24}$/.test(name)) return name;
  throw wrongUsage(`${JSON.stringify(name)} is not a name for a device: use letters, digits, '-' and '_', at most 25`);
}

/** The tunnel at each of its servers as it is to be. The key is read once it is made. */
function renewed({ members, rotation }: CopiedTunnel, user: string, ports: readonly number[]): readonly TunnelSpec[] {
  const own = { user, identityFiles: [rotation.next], identityFilesConfigured: true };
  return members.map((member) => ({ ...withPorts(member, ports), ...own }));
}

/** As many ports of the server as the tunnel has, from the one that a person names. */
function portsFrom(text: string | null, count: number): readonly number[] {
  if (text === null)
    throw wrongUsage(
      'a port that is free on the server can be chosen only where that is looked at (--via [me@]server): name one with --port',
    );
  const first = /^\d+$/.test(text) ? Number(text) : 0;
  if (first < 1 || first + count - 1 > 65_535)
    throw wrongUsage(
      `--port ${JSON.stringify(text)}: it must be a whole number from 1 to 65535${count > 1 ? `, the first of ${count} ports in a row` : ''}`,
    );
  return Array.from({ length: count }, (_, index) => first + index);
}

/** One user and the same ports at all of the servers, as the file has them. */
async function agreed(copied: CopiedTunnel, user: string, owners: readonly Owner[]): Promise<readonly TunnelSpec[]> {
  const free = freeUser(user, owners, await marksOfNext(copied));
  const looks = owners.map(({ look }) => look);
  const ports: number[] = [];
  for (const _ of fixedPorts(copied.members[0]!)) {
    const port = commonFreePort(looks, free, ports);
    if (port === null)
      throw new UserError(
        owners.length === 1
          ? "every port of the server's range is promised or in use: widen the range there"
          : 'no port is free at all of the servers: widen the ranges of ports there until they overlap',
      );
    ports.push(port);
  }
  return renewed(copied, free, ports);
}

/** Of a key that an interrupted run made: what it set up is this device's. */
async function marksOfNext({ members, rotation: { next } }: CopiedTunnel): Promise<readonly string[]> {
  if (!(await checkKey(next))) return [];
  const { keys } = await readPublicKeys({ ...members[0]!, identityFiles: [next], identityFilesConfigured: true });
  return marksOf(keys);
}

function freeUser(user: string, owners: readonly Owner[], marks: readonly string[]): string {
  const taken = owners.find(({ look }) => look.user !== null && !hasMark(look.user.setUpFor, marks));
  if (taken === undefined) return user;
  if (owners.length === 1) return taken.look.freeName;
  throw new UserError(`${taken.login} has a user ${user} already: give this device another name (--name)`);
}

/** False where a person has to run the script there first. */
async function setUp(
  { members, all, rotation }: CopiedTunnel,
  wanted: readonly TunnelSpec[],
  owners: readonly Owner[],
  { jump, wait }: NewIdentityOptions,
  questions: Questions,
): Promise<boolean> {
  const others = all.filter((one) => !members.includes(one));
  const servers = { members: wanted, all: [...others, ...wanted], jump };
  const side =
    owners.length > 0
      ? byOwners(owners, servers, questions)
      : byScript(servers, wait, () => ({ of: 'server-setup', does: '' }));
  if (!(await side.allow([rotation.next], rotation))) return false;
  // Without it the trial shows whether it is.
  if (wait && owners.length > 0) for (const member of wanted) await untilServerIsReady(member, report);
  return true;
}

async function switchTo(
  { flag, file, whole, members, rotation }: CopiedTunnel,
  wanted: readonly TunnelSpec[],
): Promise<void> {
  const before = await readText(file);
  const { user } = wanted[0]!;
  const own = { user, identityFile: rotation.next };
  const entry = (index: number) =>
    Object.fromEntries(Object.entries(own).filter(([key]) => entryHas(before, whole, index, key as keyof typeof own)));
  const isOwn =
    members[0]!.redundancy !== undefined && members.some((_, index) => Object.keys(entry(index)).length > 0);
  const text = editTunnel(before, whole, {
    ...own,
    remoteForward: remoteForwardWith(before, wanted[0]!),
    ...(isOwn ? { servers: serversWith(before, whole, entry) } : {}),
  });
  const changed = await membersIn(text, file, whole);
  if (changed.map(whatOf).join() !== wanted.map(whatOf).join())
    throw new UserError(
      `${file} does not decide alone what ${whole} is: change its user, identityFile and remoteForward by hand`,
    );
  await changeConfig(flag, file, text);
}

function whatOf(tunnel: TunnelSpec): string {
  return JSON.stringify([tunnel.user, tunnel.identityFiles, fixedPorts(tunnel)]);
}

/** The key of the original is none of this device's business any more. */
async function finish({ file, whole, rotation }: CopiedTunnel): Promise<void> {
  const kept = await finishRotation(rotation, (path) => isOurs(path, file, whole));
  await tryToHandOverKeys();
  for (const path of kept) report(`${path} is the key of the original: remove it where nothing else needs it`);
  report(
    `the original keeps its key, its user and its port. A copied card has more that must differ: the name (hostnamectl), the host keys of its SSH server (rm /etc/ssh/ssh_host_*, then ssh-keygen -A), /etc/machine-id; then run server-setup again, and client-setup ${whole} for laptops`,
  );
}
