import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { changing } from '../../../config/change-lock.ts';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { loadConfig } from '../../../config/load.ts';
import { parseConfig } from '../../../config/parse.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { readText } from '../../../lib/files/read-file.ts';
import { UserError } from '../../../lib/user-error.ts';
import { tunnelOf } from '../../../model/redundancy.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { formatServer } from '../../../model/state.ts';
import { editTunnel } from '../../../setup/edit-config.ts';
import { fixedPorts, remoteForwardWith, withPorts } from '../../../setup/new-ports.ts';
import { requirePlainKeys } from '../../../setup/login-keys.ts';
import { readPublicKeys } from '../../../setup/public-key.ts';
import { marksOf } from '../../../server-rules/server-setup.ts';
import { finishRotation, makeNextKey, type Rotation, rotationOf } from '../../../setup/rotation.ts';
import { nextFreePort } from '../../../setup/via/ports.ts';
import { tryToHandOverKeys } from '../../daemon/reload.ts';
import { findConfig } from '../../find/config-file.ts';
import { noSuchTunnel } from '../../text/no-such-tunnel.ts';
import { askFor, createQuestions, type Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { accepts } from './accepts-key.ts';
import { changeConfig } from '../change-config.ts';
import { untilServerIsReady } from '../wait-for-server.ts';
import { hasMark, type Owner } from '../owner.ts';
import { requireOneServer } from '../one-server.ts';
import { openOwnerOf } from '../owner-of.ts';
import { isOurs } from './rekey.ts';
import { serverSetupText } from '../server-setup.ts';
import { handOut } from '../write-script.ts';

export interface NewIdentityOptions {
  /** What the device is called from now on. */
  readonly name: string | null;
  readonly via: string | null;
  /** The first port of the server, where that cannot be looked at. */
  readonly port: string | null;
  readonly jump: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
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
  const file = resolve(await findConfig(flag));
  return await changing(file, () => newIdentityIn(file, flag, tunnelName, options));
}

async function newIdentityIn(
  file: string,
  flag: string | null,
  tunnelName: string | null,
  options: NewIdentityOptions,
): Promise<number> {
  const questions = createQuestions(options.yes);
  let owner: Owner | null = null;
  try {
    const { tunnels: all } = await loadConfig(file, systemEnvironment());
    const tunnel = chosen(all, tunnelName);
    requireOneServer(
      tunnel,
      'new-identity',
      (of) =>
        `Write \`host: ${tunnel.host}\` in the place of its servers for now, and run this again; then write servers again, and run on each of the others what \`tunneld server-setup ${of}@SERVER\` prints`,
    );
    const rotation = await rotationOf(tunnel, join(dirname(file), `${tunnel.name}.key`), 'identity');
    const place = { flag: flag ?? file, file, tunnel, all, rotation };
    if (rotation.phase === 'begun') {
      await requirePlainKeys(tunnel, 'new-identity');
      const device = checkDevice(options.name ?? (await nameFor(tunnel, questions)));
      const user = `tunnel-${device}`.toLowerCase().slice(0, 32);
      const ports = options.via === null ? portsFrom(options.port, fixedPorts(tunnel).length) : [];
      await makeNextKey(rotation, `tunneld ${tunnel.name} of ${device}`);
      owner = options.via === null ? null : await openOwnerOf({ ...tunnel, user }, options.via, questions);
      const wanted = owner === null ? renewed(place, user, ports) : await agreed(place, user, owner);
      if (!(await setUp(place, wanted, owner, options, questions))) return EXIT.failed;
      await switchTo(place, wanted);
      report(
        `this device is ${device} now: ${formatServer(wanted)}, port ${fixedPorts(wanted).join(', ')} of the server`,
      );
    }
    await finish(place);
    return EXIT.ok;
  } finally {
    questions.close();
    await owner?.close();
  }
}

interface Place {
  readonly flag: string;
  readonly file: string;
  readonly tunnel: TunnelSpec;
  readonly all: readonly TunnelSpec[];
  readonly rotation: Rotation;
}

function chosen(all: readonly TunnelSpec[], name: string | null): TunnelSpec {
  const names = [...new Set(all.map((one) => tunnelOf(one.name)))];
  const found = name === null && names.length === 1 ? all[0] : all.find((one) => one.name === name);
  if (found !== undefined) return found;
  if (name !== null) throw noSuchTunnel(name, all);
  throw new UserError(`name one of the tunnels: ${names.join(', ')}`, EXIT.usage);
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
  throw new UserError(
    `${JSON.stringify(name)} is not a name for a device: use letters, digits, '-' and '_', at most 25`,
    EXIT.usage,
  );
}

/** The key is read once it is made. */
function renewed({ tunnel, rotation }: Place, user: string, ports: readonly number[]): TunnelSpec {
  return { ...withPorts(tunnel, ports), user, identityFiles: [rotation.next], identityFilesConfigured: true };
}

/** As many ports of the server as the tunnel has, from the one that a person names. */
function portsFrom(text: string | null, count: number): readonly number[] {
  if (text === null)
    throw new UserError(
      'a port that is free on the server can be chosen only where that is looked at (--via [me@]server): name one with --port',
      EXIT.usage,
    );
  const first = /^\d+$/.test(text) ? Number(text) : 0;
  if (first < 1 || first + count - 1 > 65_535)
    throw new UserError(
      `--port ${JSON.stringify(text)}: it must be a whole number from 1 to 65535${count > 1 ? `, the first of ${count} ports in a row` : ''}`,
      EXIT.usage,
    );
  return Array.from({ length: count }, (_, index) => first + index);
}

async function agreed(place: Place, user: string, { look }: Owner): Promise<TunnelSpec> {
  const { keys } = await readPublicKeys({
    ...place.tunnel,
    identityFiles: [place.rotation.next],
    identityFilesConfigured: true,
  });
  const isMine = hasMark(look.user?.setUpFor, marksOf(keys));
  const free = look.user === null || isMine ? user : look.freeName;
  const ports: number[] = [];
  for (const _ of fixedPorts(place.tunnel)) {
    const port = nextFreePort(look, free, ports);
    if (port === null)
      throw new UserError("every port of the server's range is promised or in use: widen the range there");
    ports.push(port);
  }
  return renewed(place, free, ports);
}

/** False where a person has to run the script there first. */
async function setUp(
  { file, all, tunnel }: Place,
  wanted: TunnelSpec,
  owner: Owner | null,
  { jump, wait }: NewIdentityOptions,
  questions: Questions,
): Promise<boolean> {
  const others = all.filter(({ name }) => name !== tunnel.name);
  if (owner !== null) await owner.setUp(wanted, others, jump, questions);
  else if (!(await accepts(wanted, wanted.identityFiles[0]!))) {
    await handOut(
      await serverSetupText(wanted, others, { jump, undo: false, for: 'debian' }),
      `${wanted.name}-server-setup.sh`,
      dirname(file),
    );
    if (!wait) {
      report('when it has run there, run this again');
      return false;
    }
  }
  // Without it the trial shows whether it is.
  if (wait) await untilServerIsReady(wanted, report);
  return true;
}

async function switchTo({ flag, file, tunnel }: Place, wanted: TunnelSpec): Promise<void> {
  const before = await readText(file);
  const text = editTunnel(before, tunnel.name, {
    user: wanted.user,
    identityFile: wanted.identityFiles[0]!,
    remoteForward: remoteForwardWith(before, wanted),
  });
  const changed = (await parseConfig(text, file, systemEnvironment())).tunnels.find(({ name }) => name === tunnel.name);
  if (changed === undefined || whatOf(changed) !== whatOf(wanted))
    throw new UserError(
      `${file} does not decide alone what ${tunnel.name} is: change its user, identityFile and remoteForward by hand`,
    );
  await changeConfig(flag, file, text);
}

function whatOf(tunnel: TunnelSpec): string {
  return JSON.stringify([tunnel.user, tunnel.identityFiles, fixedPorts(tunnel)]);
}

/** The key of the original is none of this device's business any more. */
async function finish({ file, tunnel, rotation }: Place): Promise<void> {
  const kept = await finishRotation(rotation, (path) => isOurs(path, file, tunnel.name));
  await tryToHandOverKeys();
  for (const path of kept) report(`${path} is the key of the original: remove it where nothing else needs it`);
  report(
    `the original keeps its key, its user and its port. A copied card has more that must differ: the name (hostnamectl), the host keys of its SSH server (rm /etc/ssh/ssh_host_*, then ssh-keygen -A), /etc/machine-id; then run server-setup again, and client-setup ${tunnel.name} for laptops`,
  );
}
