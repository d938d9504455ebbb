import type { Clock } from '../../lib/async/clock.ts';
import type { SocketAddresses } from '../../net/device.ts';
import { type DialSpec, sourceOf, translate } from '../../net/dial.ts';
import { probeRequest } from '../../net/probe-path.ts';
import type { Turns } from '../../net/pacing/turns.ts';
import { openSocket } from '../../net/open-socket.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';

/**
 * Makes the server's kernel drop dead connections of ours: a new connection from the same local port ends the dead one (see
 * SourcePorts). Needed when the present connection comes from another port than the dead one. Never rejects.
 */
export async function evict(
  { localAddress, localPort, remoteAddress, remotePort }: SocketAddresses,
  earlierPorts: (current: number) => readonly number[],
  spec: Pick<DialSpec, 'bindAddress' | 'bindInterface' | 'connectLimit'>,
  turns: Turns,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (const port of earlierPorts(localPort)) {
    const options = { host: remoteAddress, port: remotePort, localAddress, localPort: port };
    const address = { address: remoteAddress, port: remotePort, source: sourceOf(spec) };
    const turn = await turns.take(address, probeRequest(spec.connectLimit, clock), signal).catch(() => null);
    if (turn === null) return;
    await openSocket(options, PATIENCE_MS, clock, signal).then(
      (socket) => {
        turn.opened();
        resetSocket(socket);
      },
      (error: unknown) => turn.failed(translate(error, remoteAddress)),
    );
    turn.end();
  }
}

const PATIENCE_MS = 3000;
