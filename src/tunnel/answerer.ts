import { sleep, type Clock } from '../lib/clock.ts';
import { printable } from '../lib/text.ts';
import { peek } from './peek.ts';
import { type Other, SILENT } from './sights.ts';
import type { Channel } from './ssh.ts';
import { scanServer } from './ssh2/scan.ts';
import { wireOf } from './wire.ts';

export interface AnswererDeps {
  readonly clock: Clock;
  /** The device's own SSH host keys, as key blobs. */
  readonly hostKeys: () => Promise<readonly Buffer[]>;
}

/** What the one who answers says by itself; an SSH server also shows its host key to somebody who did not begin with a nonce. */
export async function describeAnswerer(
  channel: Channel,
  again: () => Promise<Channel>,
  { clock, hostKeys }: AnswererDeps,
  signal: AbortSignal,
): Promise<Other> {
  const bytes = await within(
    peek(channel, 256, (seen) => seen.includes('\n'), signal),
    clock,
    signal,
  );
  if (bytes === null || bytes.length === 0) return { type: 'other', who: SILENT, answered: false };
  const line = printable(bytes.toString('latin1').split(/[\r\n]/, 1)[0] ?? '', 60);
  if (!line.startsWith('SSH-')) return { type: 'other', who: `it says ${line}`, answered: true };
  const fresh = await again();
  const wire = wireOf({ readable: fresh, writable: fresh, close: () => fresh.close() });
  const { hostKey } = await scanServer(wire, SCAN_MS, clock);
  const own = hostKey !== null && (await hostKeys()).some((key) => key.equals(hostKey));
  return { type: 'other', who: own ? OURSELVES : `an SSH server, but not this device's (${line})`, answered: true };
}

const OURSELVES =
  "an SSH server with this device's own host key: another tunnel of it lives, or another device has the same keys (a cloned card?)";

async function within<T>(work: Promise<T>, clock: Clock, signal: AbortSignal): Promise<T | null> {
  work.catch(() => {});
  const enough = sleep(clock, SILENT_MS, signal).then(() => null);
  enough.catch(() => {});
  return await Promise.race([work, enough]);
}

const SILENT_MS = 1500;
const SCAN_MS = 5000;
