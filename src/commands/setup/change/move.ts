import { dirname, resolve } from 'node:path';
import { changing } from '../../../config/change-lock.ts';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { loadConfig } from '../../../config/load.ts';
import { parseConfig } from '../../../config/parse.ts';
import { readJump } from '../../../config/schema/jump.ts';
import { canonicalAddress } from '../../../config/values/address.ts';
import { BadValue } from '../../../config/values/value.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { readText } from '../../../lib/files/read-file.ts';
import { UserError } from '../../../lib/user-error.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { formatServer } from '../../../model/state.ts';
import { sharesUser } from '../../../server-rules/same-login.ts';
import { copyTunnel, editTunnel, removeTunnel } from '../../../setup/edit-config.ts';
import { findConfig } from '../../find/config-file.ts';
import { configuredTunnel } from '../../find/configured-tunnel.ts';
import { createQuestions, type Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { acceptsAny } from './accepts-key.ts';
import { changeConfig } from '../change-config.ts';
import { trustHostKey } from '../trust-host-key.ts';
import { untilServerIsReady } from '../wait-for-server.ts';
import { requireOneServer } from '../one-server.ts';
import { openOwnerOf } from '../owner-of.ts';
import { serverSetupText } from '../server-setup.ts';
import { hostOf } from '../trust.ts';
import { handOut, writeScript } from '../write-script.ts';

export interface MoveOptions {
  readonly hostKeyFingerprint: string | null;
  /** The login of the owner's on the new server; null where a person runs the script there. */
  readonly via: string | null;
  readonly jump: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
}

/**
 * Moves a tunnel to another server: sets that up, runs the tunnel at both, and switches when that is confirmed. Every change is a trial, so
 * that the old one runs on where the new one does not come up; run again, it goes on where it was. The exit code is 0 when nothing failed.
 */
export async function move(
  flag: string | null,
  name: string,
  destination: string,
  options: MoveOptions,
): Promise<number> {
  const file = resolve(await findConfig(flag));
  return await changing(file, () => moveIn(file, flag, name, destination, options));
}

async function moveIn(
  file: string,
  flag: string | null,
  name: string,
  destination: string,
  options: MoveOptions,
): Promise<number> {
  const questions = createQuestions(options.yes);
  try {
    const { tunnel, all } = await configuredTunnel(flag, name);
    requireOneServer(
      tunnel,
      'move',
      (of) =>
        `Add the new server to its servers in a copy of the file. \`tunneld trust ${of}@NEWSERVER --config COPY\` compares its host key; run there what \`tunneld server-setup ${of}@NEWSERVER --config COPY\` prints; \`tunneld doctor ${of}@NEWSERVER --config COPY\` tests it. Then \`tunneld apply COPY\`, and take the old server out in the same way`,
    );
    const wanted = newPlace(tunnel, destination);
    if (isAt(tunnel, wanted)) {
      report(`${name} is at ${formatServer(wanted)} already`);
      return EXIT.ok;
    }
    const place = { flag: flag ?? file, file, tunnel, all, wanted };
    const copy = all.find((one) => one.name === copyName(name));
    if (copy !== undefined && !isAt(copy, wanted)) throw nameIsTaken(copy, name, file);
    if (copy === undefined) {
      if (!(await prepare(place, options, questions))) return EXIT.failed;
      await runBoth(place);
    }
    return await finish(place, options, questions);
  } finally {
    questions.close();
  }
}

interface Place {
  readonly flag: string;
  readonly file: string;
  readonly tunnel: TunnelSpec;
  readonly all: readonly TunnelSpec[];
  /** The tunnel at its new server. */
  readonly wanted: TunnelSpec;
}

/** The user stays, unless another is named. */
function newPlace(tunnel: TunnelSpec, destination: string): TunnelSpec {
  try {
    if (destination.startsWith('-')) throw new BadValue('must be [user@]host[:port]');
    const { host, user, port } = readJump(destination);
    const hostKeyAlias = tunnel.hostKeyAlias === null ? null : host;
    return { ...tunnel, host: canonicalAddress(host), port: port ?? 22, user: user ?? tunnel.user, hostKeyAlias };
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new UserError(`${JSON.stringify(destination)}: it ${error.message}`, EXIT.usage);
  }
}

function isAt(one: TunnelSpec, other: TunnelSpec): boolean {
  return sharesUser(one, other);
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
  { file, wanted, all }: Place,
  { hostKeyFingerprint, via, jump, wait }: MoveOptions,
  questions: Questions,
): Promise<boolean> {
  if (
    (await trustHostKey(hostOf(wanted, true, '--host-key-fingerprint'), hostKeyFingerprint, questions, report)) ===
    'refused'
  )
    throw new UserError('the host key was not confirmed; nothing more was done');
  const there = all.filter(({ name }) => name !== wanted.name);
  if (via !== null) {
    const owner = await openOwnerOf(wanted, via, questions);
    try {
      await owner.setUp(wanted, there, jump, questions);
    } finally {
      await owner.close();
    }
  } else if (!(await acceptsAny(wanted, wanted.identityFiles))) {
    const script = await serverSetupText(wanted, there, { jump, undo: false, for: 'debian' });
    await handOut(script, `${wanted.name}-server-setup.sh`, dirname(file));
    if (!wait) {
      report('when it has run there, run this again');
      return false;
    }
  }
  // Without it the trial shows whether it is.
  if (wait) await untilServerIsReady(wanted, report);
  return true;
}

async function runBoth({ flag, file, tunnel, wanted }: Place): Promise<void> {
  const { name, forwards } = tunnel;
  if (forwards.some(({ kind }) => kind !== 'remote')) {
    report(
      `${name} has listeners on this device, which two tunnels cannot share: both run only until the new one is up`,
    );
    return;
  }
  const copy = copyName(name);
  const text = editTunnel(copyTunnel(await readText(file), name, copy), copy, keysOf(tunnel, wanted));
  await check(text, file, copy, wanted);
  await changeConfig(flag, file, text);
  report(`both are up: ${name} at ${formatServer(tunnel)}, and ${copy} at ${formatServer(wanted)}`);
}

function keysOf(tunnel: TunnelSpec, { host, port, user, hostKeyAlias }: TunnelSpec): Record<string, string | number> {
  return {
    host,
    port,
    ...(user === tunnel.user ? {} : { user }),
    ...(hostKeyAlias === null ? {} : { hostKeyAlias }),
  };
}

/** ssh_config may have a say, too. */
async function check(text: string, file: string, name: string, wanted: TunnelSpec): Promise<void> {
  const changed = (await parseConfig(text, file, systemEnvironment())).tunnels.find((one) => one.name === name);
  if (changed === undefined || !isAt(changed, wanted))
    throw new UserError(
      `${file} does not decide alone where ${name} leads (${changed === undefined ? 'nowhere' : formatServer(changed)}): change it by hand`,
    );
}

async function finish(place: Place, { yes }: MoveOptions, questions: Questions): Promise<number> {
  const { flag, file, tunnel, wanted } = place;
  const { name } = tunnel;
  if (!questions.interactive && !yes) {
    report(`run this again with --yes to switch: visitors of ${tunnel.host} are served until then`);
    return EXIT.ok;
  }
  if (!(await questions.confirm(`Switch now? ${formatServer(tunnel)} then serves no visitor of ${name} any more`))) {
    report('both run on; run this again to switch');
    return EXIT.ok;
  }
  // Made from the configuration that still has the old server.
  const left = await whatIsLeft(place);
  const before = await readText(file);
  const hasCopy = (await loadConfig(file, systemEnvironment())).tunnels.some((one) => one.name === copyName(name));
  const text = editTunnel(hasCopy ? removeTunnel(before, copyName(name)) : before, name, keysOf(tunnel, wanted));
  await check(text, file, name, wanted);
  await changeConfig(flag, file, text);
  report(`${name} is at ${formatServer(wanted)} now; the block for laptops has changed: tunneld client-setup ${name}`);
  for (const line of left) report(line);
  return EXIT.ok;
}

/** What the old server still has of the tunnel, and how to take it away there. */
async function whatIsLeft({ tunnel, all, file }: Place): Promise<readonly string[]> {
  const server = formatServer(tunnel);
  const others = all.filter((one) => one.name !== tunnel.name && sharesUser(one, tunnel));
  if (others.length > 0)
    return [
      `left on ${server}: what ${tunnel.name} may do there, beside ${others.map(({ name }) => name).join(', ')}; run \`tunneld server-setup ${others[0]!.name}\` for it, which takes that away`,
    ];
  const script = await serverSetupText(tunnel, all, { jump: false, undo: true, for: 'debian' });
  const name = `${tunnel.name}-undo-${tunnel.host.replaceAll(/[^\w.-]/g, '_')}.sh`;
  const path = await writeScript(script, name, dirname(file));
  return [`left on ${server}: the user ${tunnel.user} and its key; ${path}, run there as root, takes them away`];
}
