import type { Clock } from '../lib/clock.ts';
import type { Ends } from './device.ts';
import { openSocket } from './open-socket.ts';
import { resetSocket } from './reset-socket.ts';

/**
 * Makes the server's kernel let go of dead connections of ours: opens one from each of their ports, which ends the dead one
 * (see SourcePorts), and closes it. For when this connection had to come from another port than the one that died. Never rejects.
 */
export async function evict(
  { localAddress, localPort, remoteAddress, remotePort }: Ends,
  earlierPorts: (current: number) => readonly number[],
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (const port of earlierPorts(localPort)) {
    const options = { host: remoteAddress, port: remotePort, localAddress, localPort: port };
    await openSocket(options, PATIENCE_MS, clock, signal).then(resetSocket, () => {});
  }
}

const PATIENCE_MS = 3000;
