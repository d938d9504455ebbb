import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces, uptime, type NetworkInterfaceInfo } from 'node:os';
import type { Clock } from '../lib/async/clock.ts';

/** Tells of what may have cut connections without anybody saying so. */
export interface NetworkWatch {
  /** Calls `listener` after each change; the answer ends that. */
  subscribe(listener: (what: NetworkChange) => void): () => void;
  /** Whether the machine has given this address up for another one. A link that is down for a moment keeps its address. */
  lostAddress(address: string): Promise<boolean>;
  stop(): void;
}

type NetworkChange = 'woke up' | 'the network changed';

/** What is looked at: addresses by interface, and the default routes as text. */
export interface NetworkView {
  readonly addresses: readonly string[];
  readonly routes: string;
}

/**
 * Looks once a second: a look costs a fraction of a millisecond, and Node has no means to be told. More time since the boot
 * than on the monotonic clock, which stands still while the machine sleeps, or a look that came late, is a machine that slept. The
 * clock on the wall would say the same of one whose clock was set.
 */
export function watchNetwork(
  clock: Clock,
  readView: () => NetworkView = systemView,
  sinceBootMs: () => number = () => uptime() * 1000,
): NetworkWatch {
  const listeners = new Set<(what: NetworkChange) => void>();
  let last = { now: clock.now(), boot: sinceBootMs(), view: readView() };
  let cancel = () => {};
  const tick = () => {
    const next = { now: clock.now(), boot: sinceBootMs(), view: readView() };
    const slept = next.boot - last.boot - POLL_MS > SLEPT_MS || next.now - last.now - POLL_MS > SLEPT_MS;
    const changed = slept ? 'woke up' : isSameView(last.view, next.view) ? null : 'the network changed';
    last = next;
    cancel = clock.timer(POLL_MS, tick);
    if (changed !== null) for (const listener of listeners) listener(changed);
  };
  cancel = clock.timer(POLL_MS, tick);
  return {
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    lostAddress: async (address) => {
      if (!interfaces().some((entry) => !entry.internal && isIP(entry.address) === isIP(address))) return false;
      return !(await canBind(address));
    },
    stop: () => cancel(),
  };
}

const POLL_MS = 1000;
const SLEPT_MS = 3000;

function isSameView(before: NetworkView, now: NetworkView): boolean {
  return before.routes === now.routes && before.addresses.join() === now.addresses.join();
}

/** The kernel lets nobody bind to an address that it does not have. */
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

/** None where a sandbox does not let us look (no AF_NETLINK): then changes go unnoticed, and nothing else. */
function interfaces(): readonly NetworkInterfaceInfo[] {
  try {
    return Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  } catch {
    return [];
  }
}

/** Of /proc/net/route the columns that do not count anything: interface, destination, gateway, flags. */
function routes(): string {
  try {
    const lines = readFileSync('/proc/net/route', 'utf8').split('\n').slice(1);
    return lines.map((line) => line.split('\t').slice(0, 4).join(' ')).join('\n');
  } catch {
    return '';
  }
}
