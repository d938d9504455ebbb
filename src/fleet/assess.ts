import { groupBy, groupByEach } from '../lib/maps.ts';
import { isLoopbackHost } from '../model/endpoint.ts';
import type { FleetDevice, FleetTrouble, TroubleCode } from './document.ts';
import type { FleetFacts, Listener } from './facts.ts';
import type { RegisteredKey } from './register.ts';

/** Pure: each promised port of a server, and each key without one, with what is wrong, before any port was tried. */
export function assess(facts: FleetFacts): readonly FleetDevice[] {
  const index = indexOf(facts);
  const seen = new Set<string>();
  return facts.keys.flatMap((key) =>
    (key.listens.length === 0 ? [null] : key.listens).flatMap((listen) => {
      // A key that is being replaced stands beside the new one, with the same ports.
      const id = `${key.user} ${listen === null ? key.fingerprint : listen.port}`;
      if (seen.has(id)) return [];
      seen.add(id);
      return [listen === null ? withoutPort(key) : device(key, listen, facts, index)];
    }),
  );
}

type Index = ReturnType<typeof indexOf>;

/** A thousand devices are looked up once each, not in all lines. */
function indexOf({ listeners, connections, processes, keys, uids }: FleetFacts) {
  const sshd = [...processes].filter(([, { name }]) => isSshd(name));
  return {
    listeners: groupBy(listeners, ({ port }) => port),
    connectionsTo: groupBy(connections, ({ localPort }) => localPort),
    connectionsOf: groupByEach(connections, ({ pids }) => pids),
    // Processes of sshd by the user they run as.
    sessions: new Map([...groupBy(sshd, ([, { uid }]) => uid)].map(([uid, all]) => [uid, all.map(([pid]) => pid)])),
    sshdPorts: new Set(
      listeners
        .filter(({ program, pids }) => isSshd(program) && pids.some((pid) => processes.get(pid)?.uid === 0))
        .map(({ port }) => port),
    ),
    usersOfPort: new Map(
      [...groupByEach(keys, ({ listens }) => [...new Set(listens.map(({ port }) => port))])].map(([port, all]) => [
        port,
        [...new Set(all.map(({ user }) => user))],
      ]),
    ),
    userOfUid: new Map([...uids].map(([user, uid]) => [uid, user])),
  };
}

/** `sshd`, and the program of a session since OpenSSH 9.8. */
function isSshd(name: string): boolean {
  return /^sshd(?:-session|-auth)?$/.test(name);
}

function withoutPort({ device, user, fingerprint }: RegisteredKey): FleetDevice {
  const troubles = [
    trouble('no-port', 'this key may listen on no port: no device needs it, or its tunnel has no remoteForward'),
  ];
  const nothing = { host: null, port: null, verified: 'unknown', visitors: null } as const;
  return { device, user, ...nothing, state: 'unusable', key: fingerprint, troubles };
}

function device(
  key: RegisteredKey,
  listen: { readonly host: string; readonly port: number },
  facts: FleetFacts,
  index: Index,
): FleetDevice {
  const { port } = listen;
  const seen = seenOf(key, listen, facts, index);
  const lastSeenMs = facts.seenMs.get(key.user);
  return {
    device: key.device,
    user: key.user,
    ...listen,
    state: stateFor(seen),
    ...(key.failsOver ? { failover: true } : {}),
    verified: 'unknown',
    ...sessionOf(seen, facts, index),
    visitors: visitorsOf(seen, index),
    ...(lastSeenMs === undefined ? {} : { lastSeen: iso(lastSeenMs) }),
    key: key.fingerprint,
    ...(key.hostKey?.port === port ? { hostKey: key.hostKey.fingerprint } : {}),
    troubles: [...registerTroubles(seen, index), ...portTroubles(seen, facts, index)],
  };
}

type Seen = ReturnType<typeof seenOf>;

function seenOf(
  key: RegisteredKey,
  { host, port }: { readonly host: string; readonly port: number },
  facts: FleetFacts,
  index: Index,
) {
  const uid = facts.uids.get(key.user) ?? null;
  const isOwn = (pid: number) => uid !== null && facts.processes.get(pid)?.uid === uid;
  const listeners = index.listeners.get(port) ?? [];
  // The listener of this device, and what holds its port instead, or at another address.
  const own = listeners.find(({ pids }) => pids.some(isOwn)) ?? null;
  // Another program may have one of the addresses, and the device the other.
  const foreign = listeners.find(({ pids }) => pids.length > 0 && !pids.some(isOwn));
  const holder = foreign ?? (own === null ? (listeners[0] ?? null) : null);
  // The process of its login, where that can be seen.
  const session = own?.pids.find(isOwn) ?? (uid === null ? undefined : index.sessions.get(uid)?.[0]) ?? null;
  const state = stateOf(own, holder, session);
  const neverCame = state === 'down' && hasNeverCome(key.user, facts);
  // Where no user could be listed, none is missing.
  return { key, host, port, isUserless: uid === null && facts.uids.size > 0, own, holder, session, state, neverCame };
}

function stateFor({ isUserless, neverCame, state }: Seen): FleetDevice['state'] {
  if (isUserless) return 'unusable';
  return neverCame ? 'never' : state;
}

/** Since when and from where it is logged in. */
function sessionOf(
  { session }: Seen,
  { processes, nowMs }: FleetFacts,
  { connectionsOf, sshdPorts }: Index,
): Pick<FleetDevice, 'since' | 'from'> {
  if (session === null) return {};
  const process = processes.get(session);
  const login = connectionsOf.get(session)?.find(({ localPort }) => sshdPorts.has(localPort));
  return {
    ...(process === undefined ? {} : { since: iso(nowMs - process.ageMs) }),
    ...(login === undefined ? {} : { from: login.peerHost }),
  };
}

/** Null where it cannot be seen which connections are its own. */
function visitorsOf({ own, session, state, port }: Seen, { connectionsTo }: Index): number | null {
  if (own === null || session === null) return state === 'up' ? null : 0;
  return (connectionsTo.get(port) ?? []).filter(({ pids }) => pids.includes(session)).length;
}

function stateOf(
  own: Listener | null,
  holder: Listener | null,
  session: number | null,
): 'up' | 'held' | 'idle' | 'down' {
  if (own !== null) return 'up';
  // Without root the owner of a listener cannot be seen: who listens at a promised port is most likely its device.
  if (holder !== null) return holder.pids.length === 0 ? 'up' : 'held';
  return session === null ? 'down' : 'idle';
}

/** Only where the log reaches back to before its setup. */
function hasNeverCome(user: string, { seenMs, logBeginsMs, madeMs }: FleetFacts): boolean {
  const made = madeMs.get(user);
  return !seenMs.has(user) && logBeginsMs !== null && made !== undefined && logBeginsMs <= made;
}

function registerTroubles({ key, port, isUserless }: Seen, { usersOfPort }: Index): readonly FleetTrouble[] {
  const others = (usersOfPort.get(port) ?? []).filter((user) => user !== key.user);
  return [
    ...(isUserless
      ? [
          trouble(
            'no-user',
            `the server has no user ${key.user}: this key is without a device; remove its file, or set it up again`,
          ),
        ]
      : []),
    ...(others.length === 0
      ? []
      : [trouble('promised-twice', `port ${port} is promised to ${others.join(', ')}, too`)]),
  ];
}

function portTroubles(
  { key, host, port, own, holder, state, neverCame }: Seen,
  facts: FleetFacts,
  { userOfUid }: Index,
): readonly FleetTrouble[] {
  const held = holder === null || holder.pids.length === 0 ? [] : [heldBy(holder, port, facts, userOfUid)];
  switch (state) {
    case 'up': {
      const { host: address } = own ?? holder!;
      const isExposed = isLoopbackHost(host) && !isLoopbackHost(address);
      const exposed = `the port is open at ${address}, and was promised at ${host} only (GatewayPorts)`;
      return [...held, ...(isExposed ? [trouble('exposed', exposed)] : [])];
    }
    case 'held':
      return held;
    case 'idle':
      return [
        trouble(
          'not-listening',
          `${key.user} is logged in, but nothing listens on port ${port}: see tunneld status on the device`,
        ),
      ];
    case 'down':
      return [
        neverCame
          ? trouble('never-came', `it has never logged in since it was set up here${key.failsOver ? ELSEWHERE : ''}`)
          : trouble('down', `it is not logged in${key.failsOver ? ELSEWHERE : ''}`),
      ];
  }
}

const ELSEWHERE =
  ', and no other server that was asked has it: its tunnel fails over, so ask all of its servers at once';

function heldBy(
  { host, pids, program }: Listener,
  port: number,
  { processes }: FleetFacts,
  userOfUid: ReadonlyMap<number, string>,
): FleetTrouble {
  const owner = processes.get(pids.at(-1)!);
  const other = owner === undefined ? undefined : userOfUid.get(owner.uid);
  const where = `port ${port} at ${host} is held by`;
  return other === undefined
    ? trouble('held-by-stranger', `${where} ${program || 'a program'} (process ${pids[0]})`)
    : trouble('held-by-device', `${where} ${other}, another device's user`);
}

function trouble(code: TroubleCode, message: string): FleetTrouble {
  return { code, message };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
