import { setMaxListeners } from 'node:events';
import type { Person } from '../connection/auth/person.ts';
import { openLogin, type OpenLogin, type OpenLoginDeps, runThere } from '../connection/route/open-login.ts';
import type { SshConnection } from '../connection/ssh/connection.ts';
import { createX25519 } from '../connection/ssh2/kex/x25519.ts';
import { rootShell, type WayToRoot } from '../connection/route/root-shell.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import { firstToEnd, waitFor } from '../lib/async/scope.ts';
import { asFailure, type FailureCode, FAILURES } from '../model/failure.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatServer } from '../model/state.ts';
import { assess } from './assess.ts';
import type { FleetDevice, FleetServer } from './document.ts';
import { type FleetFacts, readFacts } from './facts.ts';
import { hostKeysOf } from './host-keys.ts';
import { ASK_WAY_TO_ROOT, FLEET_SCRIPT } from './script.ts';
import { lookAtPort, type PortSight } from './verify.ts';

/** The devices of a server, seen over one login as often as wanted. */
export interface Survey {
  /** Never rejects, but for the signal's reason: what cannot be read is a problem of the answer. */
  look(signal: AbortSignal): Promise<FleetServer>;
  close(): Promise<void>;
}

export function createSurvey(admin: TunnelSpec, deps: OpenLoginDeps): Survey {
  const server = formatServer(admin);
  const sights: Sights = new Map();
  const personAtLook = deps.person == null ? null : answersOnce(deps.person);
  let login: OpenLogin | null = null;
  let root: WayToRoot | null = null;

  const look = async (signal: AbortSignal): Promise<FleetServer> => {
    const opened = (login ??= await openLogin(admin, deps, signal));
    root ??= await wayToRoot(opened, deps, signal);
    const facts = await factsOf(opened, root, server, { ...deps, person: personAtLook?.() ?? null }, signal);
    // Who did not become root, by giving no password for example, is not asked again.
    if (!facts.asRoot) root = 'never';
    const devices = assess(facts);
    await lookAtPorts(opened, devices, sights, deps.clock, signal);
    return {
      server,
      at: new Date(deps.clock.wall()).toISOString(),
      read: true,
      asRoot: facts.asRoot,
      problems: problemsOf(facts, devices, sights),
      hostKeys: hostKeysOf(facts, devices),
      devices: devices.map((device) => withSight(device, sights.get(idOf(device))?.sight)),
    };
  };
  const close = async () => {
    const opened = login;
    login = null;
    await opened?.close();
  };
  return {
    look: (signal) =>
      look(signal).catch(async (error: unknown) => {
        signal.throwIfAborted();
        await close();
        const { code, message } = asFailure(error);
        const at = new Date(deps.clock.wall()).toISOString();
        const problems = [`${code}: ${message}. ${CURES[code] ?? FAILURES[code].hint}`];
        return { server, at, read: false, asRoot: false, problems, devices: [], hostKeys: [] };
      }),
    close,
  };
}

const OWN_LOGIN = 'Name your own login on the server (me@server), with a key or an agent where there is no terminal.';

/** What to do where the login is a person's, and not a tunnel's. */
const CURES: Partial<Readonly<Record<FailureCode, string>>> = {
  'host-key-unknown': 'Log in to it with ssh first, which makes its host key known.',
  'host-key-changed':
    'This is an attack, or the server was reinstalled. In the second case take the old key out with ssh-keygen -R, and log in with ssh.',
  'auth-rejected': OWN_LOGIN,
  'key-unreadable': OWN_LOGIN,
};

async function wayToRoot(
  login: OpenLogin,
  { clock, person = null }: OpenLoginDeps,
  signal: AbortSignal,
): Promise<WayToRoot> {
  const limits = { limit: 10_000, ms: READ_MS, clock };
  const answer = (await runThere(login, ASK_WAY_TO_ROOT, '', limits, signal)).stdout.toString('utf8').trim();
  if (answer === 'is' || answer === 'free') return answer;
  return answer === 'asks' && person !== null ? 'asks' : 'never';
}

/** Sudo asks at each look. It is given again what it took before, which this survey keeps as long as it looks on. */
function answersOnce(person: Person): () => Person {
  let taken: string | null = null;
  return () => {
    let again = taken;
    return {
      answer: async (prompt, secret) => {
        const answer = again ?? (await person.answer(prompt, secret));
        again = null;
        taken = answer;
        return answer;
      },
    };
  };
}

/** Less is read where the person gives no password, or there is no terminal to ask at. */
async function factsOf(
  login: OpenLogin,
  root: WayToRoot,
  server: string,
  { clock, person = null }: OpenLoginDeps,
  signal: AbortSignal,
): Promise<FleetFacts> {
  const limits = { limit: MAX_OUTPUT, ms: READ_MS, clock };
  if (root !== 'never') {
    const shell = rootShell(root, FLEET_SCRIPT, server, person);
    const ms = root === 'asks' ? PERSON_MS : READ_MS;
    const { stdout } = await runThere(login, shell.command, shell.conversation, { ...limits, ms }, signal);
    const facts = shell.hasBegun() ? readFacts(stdout.toString('utf8')) : null;
    if (facts !== null) return facts;
  }
  const { stdout, stderr } = await runThere(login, 'sh -s', FLEET_SCRIPT, limits, signal);
  const facts = readFacts(stdout.toString('utf8'));
  if (facts === null) throw new Error(`this login runs no script${stderr === '' ? '' : `: ${stderr.trim()}`}`);
  return facts;
}

const READ_MS = 60_000;
/** With the time in which a person types the password of sudo. */
const PERSON_MS = 300_000;
/** A line of ss takes some 150 bytes; a thousand devices with ten visitors each take 2 MiB. */
const MAX_OUTPUT = 32 * 1024 * 1024;

/** What was seen at the ports, each with the login of the device's that it was seen at. */
export type Sights = Map<string, { readonly since: string | undefined; readonly sight: PortSight | 'forbidden' }>;

/**
 * Each session of a device is looked at once: every look is a line in the device's log, and sshd shuts out who comes too often without a
 * login (PerSourcePenalties in sshd_config(5)). What cannot be seen in time is left out, and looked at the next time.
 */
export async function lookAtPorts(
  { connection, lost }: { readonly connection: Pick<SshConnection, 'open'>; readonly lost: OpenLogin['lost'] },
  devices: readonly FleetDevice[],
  sights: Sights,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const up = devices.filter(({ state }) => state === 'up');
  const waiting = up.filter(
    (device) => !isSameSession(sights.get(idOf(device))?.since, device.since, sights.has(idOf(device))),
  );
  for (const device of waiting) sights.delete(idOf(device));
  for (const id of sights.keys()) if (!up.some((device) => idOf(device) === id)) sights.delete(id);
  const half = createX25519();
  const work = async (own: AbortSignal) => {
    setMaxListeners(0, own);
    for (let device = waiting.pop(); device !== undefined; device = waiting.pop()) {
      const sight = await lookAtPort(connection, device, half, clock, own);
      if (sight !== 'late') sights.set(idOf(device), { since: device.since, sight });
    }
  };
  await firstToEnd<unknown>(signal, [
    (own) => Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, () => work(own))),
    (own) => sleep(clock, LOOK_MS, own),
    ...lost.map((promise) => waitFor<unknown>(promise)),
  ]);
}

/** A visit to a port takes at most 20 seconds, and most take none: this is for many that hang. */
const LOOK_MS = 60_000;

/** Channels of one connection: enough to hide the round trips, and few enough for the memory of a small server. */
const AT_ONCE = 128;

function idOf({ user, port }: FleetDevice): string {
  return `${user} ${port}`;
}

/** The server tells ages in whole seconds. */
function isSameSession(before: string | undefined, now: string | undefined, wasSeen: boolean): boolean {
  if (before === undefined || now === undefined) return wasSeen && before === now;
  return Math.abs(Date.parse(before) - Date.parse(now)) < 3000;
}

function withSight(device: FleetDevice, sight: PortSight | 'forbidden' | undefined): FleetDevice {
  if (sight === undefined || sight === 'forbidden') return device;
  const { verified, seenHostKey, trouble } = sight;
  return {
    ...device,
    verified,
    ...(seenHostKey === undefined ? {} : { seenHostKey }),
    troubles: trouble === null ? device.troubles : [...device.troubles, trouble],
  };
}

function problemsOf(
  { problems, hiddenFiles, asRoot, logBeginsMs }: FleetFacts,
  devices: readonly FleetDevice[],
  sights: Sights,
): readonly string[] {
  const up = devices.filter(({ state }) => state === 'up').map((device) => sights.get(idOf(device))?.sight);
  const forbidden = up.filter((sight) => sight === 'forbidden').length;
  const late = up.filter((sight) => sight === undefined).length;
  return [
    ...problems,
    ...(asRoot ? [] : ['not read as root: who holds a port, since when and from where is not known']),
    ...(hiddenFiles === 0 ? [] : [`${hiddenFiles} files of the register may not be read by this login`]),
    ...(logBeginsMs === null ? ['no log of sshd was found: when a device was last seen is not known'] : []),
    ...(forbidden === 0
      ? []
      : [`${forbidden} ports were not tried: the server lets this login connect to none (AllowTcpForwarding)`]),
    ...(late === 0
      ? []
      : [
          `${late} ports were not judged: the server did not connect to them in time, or the sshd there took no more connections (MaxStartups); look at them again`,
        ]),
  ];
}
