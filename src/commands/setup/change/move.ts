import { dirname } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { loadConfig } from '../../../config/load.ts';
import { canonicalAddress } from '../../../config/values/address.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { readText } from '../../../lib/files/read-file.ts';
import { UserError, wrongUsage } from '../../../lib/user-error.ts';
import { nameAt, tunnelOf } from '../../../model/redundancy.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { formatServer } from '../../../model/state.ts';
import { sharesUser, sharingUser } from '../../../server-rules/same-login.ts';
import { copyTunnel, type EditedValue, editTunnel, removeTunnel } from '../../../setup/edit-config.ts';
import { type EntryEdit, serversWith, serverWith } from '../../../setup/edit-servers.ts';
import { readServer } from '../../find/administrator.ts';
import { configuredTunnel } from '../../find/configured-tunnel.ts';
import { askFor, type Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { acceptsAny } from './accepts-key.ts';
import type { RekeyOptions } from './rekey.ts';
import { membersIn, membersOf } from './rekey-servers.ts';
import { changeConfig, changingConfig } from '../change-config.ts';
import { trustHostKey } from '../trust-host-key.ts';
import { untilServerIsReady } from '../wait-for-server.ts';
import { openOwnerOf } from '../owner-of.ts';
import { serverSetupText } from '../server-setup.ts';
import { hostOf } from '../trust.ts';
import { handOut, writeScript } from '../write-script.ts';

export interface MoveOptions extends Omit<RekeyOptions, 'via'> {
  /** Which of several servers is replaced, `[user@]host[:port]`; null where there is one, or a person is asked. */
  readonly from: string | null;
  readonly hostKeyFingerprint: string | null;
  /** The login of the owner's on the new server; null where a person runs the script there. */
  readonly via: string | null;
}

/**
 * Moves a tunnel to another server, which takes the place of the one that it has, or of one of several: sets that up, runs the tunnel at
 * both, and switches when that is confirmed. Every change is a trial, so that the old one runs on where the new one does not come up; run
 * again, it goes on where it was. The exit code is 0 when nothing failed.
 */
export async function move(
  flag: string | null,
  name: string,
  destination: string,
  options: MoveOptions,
): Promise<number> {
  return await changingConfig(flag, `move ${name} ${destination}`, options.yes, async (file, questions) => {
    const { tunnel: meant, all } = await configuredTunnel(flag, name);
    const whole = tunnelOf(meant.name);
    const members = membersOf(whole, all);
    const there = members.find((member) => sharesUser(member, newPlace(member, destination)));
    if (there !== undefined) return isThere(there, members, options.from);
    const tunnel = await replaced(meant, members, options.from, questions);
    const wanted = newPlace(tunnel, destination);
    const moved = { flag: flag ?? file, file, whole, tunnel, index: members.indexOf(tunnel), all, wanted };
    const copy = all.find((one) => one.name === copyName(whole));
    if (copy !== undefined && !sharesUser(copy, wanted)) throw nameIsTaken(copy, whole, file);
    if (copy === undefined) {
      if (!(await prepare(moved, options, questions))) return EXIT.failed;
      await runBoth(moved);
    }
    return await finish(moved, options, questions);
  });
}

/** The tunnel, at the server that it leaves and at the new one. */
interface MovedTunnel {
  readonly flag: string;
  readonly file: string;
  /** Its name in the file. */
  readonly whole: string;
  /** The tunnel at its old server, and which of its servers that is. */
  readonly tunnel: TunnelSpec;
  readonly index: number;
  readonly all: readonly TunnelSpec[];
  /** The tunnel at its new server. */
  readonly wanted: TunnelSpec;
}

function isThere(there: TunnelSpec, members: readonly TunnelSpec[], from: string | null): number {
  const name = tunnelOf(there.name);
  const old = from === null ? [] : matching(members, from).filter((one) => one !== there);
  if (old.length > 0)
    throw new UserError(
      `${name} has the server ${formatServer(there)} already: to leave ${formatServer(old[0]!)}, take it out of the tunnel's servers in a copy of the file, and \`tunneld apply\` that`,
    );
  report(`${name} is at ${formatServer(there)} already`);
  return EXIT.ok;
}

/** Which of the servers the new one takes the place of. */
async function replaced(
  meant: TunnelSpec,
  members: readonly TunnelSpec[],
  from: string | null,
  { interactive, ask }: Questions,
): Promise<TunnelSpec> {
  const whole = tunnelOf(meant.name);
  const servers = members.map(formatServer).join(', ');
  const one = (text: string): TunnelSpec => {
    const [found, ...others] = matching(members, text);
    if (found !== undefined && others.length === 0) return found;
    const has = found === undefined ? 'has no such server, but' : 'has more than one such server:';
    throw wrongUsage(`${JSON.stringify(text)}: ${whole} ${has} ${servers}`);
  };
  if (from !== null) return one(from);
  // A name such as relay@old.example.org says it.
  if (members.length === 1 || meant.name !== whole) return meant;
  if (!interactive) throw wrongUsage(`${whole} has several servers: name the one to leave with --from (${servers})`);
  return await askFor(ask, `Which of its servers does ${whole} leave? ${servers}`, null, one);
}

/** Those that `[user@]host[:port]` may mean. Throws a UserError for what is none. */
function matching(members: readonly TunnelSpec[], text: string): readonly TunnelSpec[] {
  const { host, user, port } = readServer(text, SERVER);
  return members.filter(
    (one) =>
      one.host === canonicalAddress(host) &&
      (user === undefined || one.user === user) &&
      (port === undefined || one.port === port),
  );
}

const SERVER = '[user@]host[:port]';

/** The user stays, unless another is named. */
function newPlace(tunnel: TunnelSpec, destination: string): TunnelSpec {
  const { host, user, port } = readServer(destination, SERVER);
  const hostKeyAlias = tunnel.hostKeyAlias === null ? null : host;
  const whole = tunnelOf(tunnel.name);
  return {
    ...tunnel,
    name: tunnel.name === whole ? whole : nameAt(whole, host),
    host: canonicalAddress(host),
    port: port ?? 22,
    user: user ?? tunnel.user,
    hostKeyAlias,
  };
}

/** The tunnel at the new server, while both run. */
function copyName(name: string): string {
  return `${name}-next`;
}

/** What has the name may be of a move that was begun, or a tunnel of its own, which a move must not take out of the file. */
function nameIsTaken(other: TunnelSpec, name: string, file: string): UserError {
  const server = formatServer(other);
  return new UserError(
    `${file} has a tunnel ${other.name} to ${server} already, which is the name of ${name} at the new server until you switch: finish that move (tunneld move ${name} ${server}), or give that tunnel another name`,
  );
}

/** Makes the new server known and ready; false where a person has to run the script there first. */
async function prepare(
  { file, tunnel, wanted, all }: MovedTunnel,
  { hostKeyFingerprint, via, jump, wait }: MoveOptions,
  questions: Questions,
): Promise<boolean> {
  if (
    (await trustHostKey(hostOf(wanted, true, '--host-key-fingerprint'), hostKeyFingerprint, questions, report)) ===
    'refused'
  )
    throw new UserError('the host key was not confirmed; nothing more was done');
  const there = all.filter(({ name }) => name !== tunnel.name);
  if (via !== null) {
    const owner = await openOwnerOf(wanted, via, questions);
    try {
      await owner.setUp(wanted, there, jump, questions);
    } finally {
      await owner.close();
    }
  } else if (!(await acceptsAny(wanted, wanted.identityFiles))) {
    const script = await serverSetupText(wanted, there, { jump, undo: false, for: 'debian' });
    await handOut(script, `${fileName(wanted.name)}-server-setup.sh`, dirname(file));
    if (!wait) {
      report('when it has run there, run this again');
      return false;
    }
  }
  // Without it the trial shows whether it is.
  if (wait) await untilServerIsReady(wanted, report);
  return true;
}

async function runBoth(moved: MovedTunnel): Promise<void> {
  const { flag, file, whole: name, tunnel, index, wanted } = moved;
  if (tunnel.forwards.some(({ kind }) => kind !== 'remote')) {
    report(
      `${name} has listeners on this device, which two tunnels cannot share: both run only until the new one is up`,
    );
    return;
  }
  const copy = copyName(name);
  const before = await readText(file);
  const keys =
    tunnel.redundancy === undefined
      ? keysOf(tunnel, wanted)
      : { servers: [serverWith(before, name, index, entryKeysOf(tunnel, wanted))] };
  const text = editTunnel(copyTunnel(before, name, copy), copy, keys);
  await check(text, file, copy, wanted);
  await changeConfig(flag, file, text);
  report(`both are up: ${name} at ${formatServer(tunnel)}, and ${copy} at ${formatServer(wanted)}`);
}

/** The keys of the tunnel in the file, once it has left. */
function keysAfter({ tunnel, whole, index, wanted }: MovedTunnel, text: string): Readonly<Record<string, EditedValue>> {
  if (tunnel.redundancy === undefined) return keysOf(tunnel, wanted);
  const own = entryKeysOf(tunnel, wanted);
  return { servers: serversWith(text, whole, (at) => (at === index ? own : null)) };
}

/** Where 22 is the port anyway, it is not written. */
function entryKeysOf(tunnel: TunnelSpec, wanted: TunnelSpec): EntryEdit {
  const { port, ...keys } = keysOf(tunnel, wanted);
  return port === 22 && tunnel.port === 22 ? keys : { ...keys, port };
}

function keysOf(
  tunnel: TunnelSpec,
  { host, port, user, hostKeyAlias }: TunnelSpec,
): EntryEdit & { readonly host: string; readonly port: number } {
  return {
    host,
    port,
    ...(user === tunnel.user ? {} : { user }),
    ...(hostKeyAlias === null ? {} : { hostKeyAlias }),
  };
}

/** ssh_config may have a say, too. */
async function check(text: string, file: string, name: string, wanted: TunnelSpec): Promise<void> {
  const changed = await membersIn(text, file, name);
  if (!changed.some((one) => sharesUser(one, wanted)))
    throw new UserError(
      `${file} does not decide alone where ${name} leads (${changed.map(formatServer).join(', ')}): change it by hand`,
    );
}

async function finish(moved: MovedTunnel, { yes }: MoveOptions, questions: Questions): Promise<number> {
  const { flag, file, whole: name, tunnel, wanted } = moved;
  if (!questions.interactive && !yes) {
    report(`run this again with --yes to switch: visitors of ${tunnel.host} are served until then`);
    return EXIT.ok;
  }
  if (!(await questions.confirm(`Switch now? ${formatServer(tunnel)} then serves no visitor of ${name} any more`))) {
    report('both run on; run this again to switch');
    return EXIT.ok;
  }
  const scriptForOld = await undoOf(moved);
  const before = await readText(file);
  const hasCopy = (await loadConfig(file, systemEnvironment())).tunnels.some((one) => one.name === copyName(name));
  const alone = hasCopy ? removeTunnel(before, copyName(name)) : before;
  const text = editTunnel(alone, name, keysAfter(moved, alone));
  await check(text, file, name, wanted);
  await changeConfig(flag, file, text);
  report(`${name} is at ${formatServer(wanted)} now; the block for laptops has changed: tunneld client-setup ${name}`);
  report(`left on ${formatServer(tunnel)}: ${await whatIsLeft(moved, scriptForOld)}`);
  return EXIT.ok;
}

/** The script that undoes what the old server has of the tunnel; null where other tunnels log in there as the same user. */
async function undoOf({ tunnel, all }: MovedTunnel): Promise<string | null> {
  if (sharingUser(tunnel, all).length > 0) return null;
  return await serverSetupText(tunnel, all, { jump: false, undo: true, for: 'debian' });
}

/** What the old server still has of the tunnel, and how to take it away there. The script is written only now: before, the tunnel ran there. */
async function whatIsLeft({ tunnel, all, file }: MovedTunnel, script: string | null): Promise<string> {
  if (script === null) {
    const others = sharingUser(tunnel, all).map(({ name }) => name);
    return `what ${tunnel.name} may do there, beside ${others.join(', ')}; run \`tunneld server-setup ${others[0]!}\` for it, which takes that away`;
  }
  const path = await writeScript(script, `${tunnelOf(tunnel.name)}-undo-${fileName(tunnel.host)}.sh`, dirname(file));
  return `the user ${tunnel.user} and its key; ${path}, run there as root, takes them away`;
}

/** For a file: a name has an @, an address may have colons. */
function fileName(text: string): string {
  return text.replaceAll(/[^\w.@-]/g, '_');
}
