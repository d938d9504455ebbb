import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../lib/async/clock.ts';
import { loadAddon } from '../lib/addon.ts';
import { createEmitter } from '../lib/async/emitter.ts';
import { timerBetween } from '../lib/async/timer-between.ts';
import { readIfReadable } from '../lib/files/read-file.ts';
import { sinceBoot } from './boot.ts';
import { orElse } from '../lib/or-else.ts';

/** Watches for events that may have cut connections silently. */
export interface NetworkWatch {
  /** Calls `listener` after each change; the result unsubscribes. */
  subscribe(listener: (what: NetworkChange) => void): () => void;
  /**
   * Calls `listener` at each look, about two a minute at least, changed or not: for what is done seldom, and should not wake the process by
   * itself.
   */
  onLook(listener: () => void): () => void;
  /**
   * Whether the machine has replaced this address by another one. A link that is down for a moment keeps its address.
   */
  lostAddress(address: string): Promise<boolean>;
  stop(): void;
}

type NetworkChange = 'woke up' | 'the network changed';

/** What is compared: addresses by interface, and the default routes as text. */
export interface NetworkView {
  readonly addresses: readonly string[];
  readonly routes: string;
}

/** Has the kernel report when there may be something to see; null where it does not. The result stops that. */
type Notify = (listener: () => void) => (() => void) | null;

/**
 * Looks whenever the kernel reports a change, and seldom besides; where it does not report (there is no addon), once a second. The
 * machine has slept where more time has passed since the boot than on the monotonic clock, which stands still during sleep, or
 * where a look came late. The wall clock would show the same after it was set.
 */
export function watchNetwork(
  clock: Clock,
  readView: () => NetworkView = systemView,
  sinceBootMs: () => number = sinceBoot,
  notify: Notify = (listener) => loadAddon().addon?.watchNetwork(listener) ?? null,
): NetworkWatch {
  const changes = createEmitter<[what: NetworkChange]>();
  const looked = createEmitter();
  let last = { now: clock.now(), boot: sinceBootMs(), view: readView() };
  let cancel = () => {};
  /** When the timer that runs is due. */
  let due = 0;
  const look = () => {
    cancel();
    const next = { now: clock.now(), boot: sinceBootMs(), view: readView() };
    const passed = next.now - last.now;
    const slept = next.boot - last.boot - passed > SLEPT_MS || next.now - due > SLEPT_MS;
    const changed = slept ? 'woke up' : isDeepStrictEqual(last.view, next.view) ? null : 'the network changed';
    last = next;
    lookAgain();
    if (changed !== null) changes.emit(changed);
    looked.emit();
  };
  const lookIn = (ms: number, atTheEarliestMs = ms) => {
    due = clock.now() + ms;
    cancel = timerBetween(clock, atTheEarliestMs, ms, look);
  };
  // Reports come in bursts: the first of them makes the appointment.
  const stopReports = notify(() => {
    if (due - clock.now() <= SETTLE_MS) return;
    cancel();
    lookIn(SETTLE_MS);
  });
  const lookAgain = () => (stopReports === null ? lookIn(POLL_MS) : lookIn(SELDOM_MS, EARLIEST_MS));
  lookAgain();
  return {
    subscribe: changes.subscribe,
    onLook: looked.subscribe,
    lostAddress: async (address) => {
      if (!interfaces().some((entry) => !entry.internal && isIP(entry.address) === isIP(address))) return false;
      return !(await canBind(address));
    },
    stop: () => {
      cancel();
      stopReports?.();
    },
  };
}

const POLL_MS = 1000;
/** What the kernel does not report: a process that was stopped, say. */
const SELDOM_MS = 32_000;
/** More than the default of serverAliveInterval: a look comes along with every second question to the server. */
const EARLIEST_MS = 16_000;
const SETTLE_MS = 50;
const SLEPT_MS = 3000;

/** The kernel refuses to bind to an address that the machine does not have. */
function canBind(address: string): Promise<boolean> {
  const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
  return new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.once('listening', () => resolve(true));
    socket.bind({ address, port: 0, exclusive: true });
  }).finally(() => socket.close());
}

function systemView(): NetworkView {
  return { addresses: interfaces().map((entry) => entry.address), routes: routes() };
}

/** Empty where a sandbox forbids it (no AF_NETLINK): then changes go unnoticed, and nothing else is lost. */
function interfaces(): readonly NetworkInterfaceInfo[] {
  return orElse(() => Object.values(networkInterfaces()).flatMap((list) => list ?? []), []);
}

/** The columns of /proc/net/route that are no counters: interface, destination, gateway, flags. */
function routes(): string {
  const lines = (readIfReadable('/proc/net/route') ?? '').split('\n').slice(1);
  return lines.map((line) => line.split('\t').slice(0, 4).join(' ')).join('\n');
}
