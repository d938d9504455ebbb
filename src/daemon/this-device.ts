import { hostname } from 'node:os';
import { join } from 'node:path';
import { unacknowledged } from '../host/tcp-queue.ts';
import { icmpRefusals } from '../host/icmp-refusals.ts';
import { type OwnersByServer, ownersAt, listenerKeys } from '../forwarding/listeners/owners.ts';
import type { Device } from '../net/device.ts';
import type { Problems } from './problems.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Clock } from '../lib/async/clock.ts';
import { sourcePorts } from '../net/source-ports.ts';
import { createTurns } from '../net/pacing/turns.ts';
import { readHostKeys } from '../host/host-keys.ts';
import { createEmitter } from '../lib/async/emitter.ts';
import { openListenerRecordsFile } from '../host/listener-records-file.ts';
import { unassignedPorts } from '../host/port-range.ts';
import { readMachine } from '../host/machine.ts';
import { openPortFile } from '../host/source-port-file.ts';
import { keepIdleMemorySmall } from '../host/idle-memory.ts';
import { watchNetwork } from '../host/network-watch.ts';
import type { Config } from '../model/config.ts';

/** What the tunnels need of this machine, and the state files of their listeners and source ports. */
export async function openDevice(
  { stateDirectory }: Pick<Config, 'stateDirectory'>,
  { clock, random, log, lastGood, problems }: DeviceDeps,
): Promise<ThisDevice> {
  const network = watchNetwork(clock);
  network.subscribe((what) => log.debug(what));
  const keepSmall = keepIdleMemorySmall();
  if (keepSmall !== null) network.onLook(keepSmall);
  const portMemory = openPortFile(join(stateDirectory, 'source-ports.json'), (message) =>
    problems.report('the state file of source ports', message),
  );
  const machine = await readMachine();
  const device = `${hostname()} ${JSON.stringify(machine)}`;
  const portOptions = { memory: portMemory, range: unassignedPorts(), device, random };
  const memory = openListenerRecordsFile(
    join(stateDirectory, 'listeners.json'),
    (lastGood?.tunnels ?? []).flatMap(listenerKeys),
    (message) => problems.report('the state file of listeners', message),
  );
  const taken = createEmitter();
  const day = () => new Date(clock.wall()).toISOString().slice(0, 10);
  return {
    onChange: (listener) => network.subscribe(listener),
    lostAddress: network.lostAddress,
    unacknowledged,
    hostKeys: () => readHostKeys(),
    owners: (server) => ownersAt(server, { memory, machine, day }),
    onTaken: taken.subscribe,
    turns: createTurns({ clock, random, icmpRefusals }),
    sourcePorts: (tunnel, server) => sourcePorts(`${tunnel} ${server}`, portOptions),
    taken: taken.emit,
    stop: network.stop,
    written: async () => {
      await Promise.all([portMemory.written(), memory.written()]);
    },
  };
}

export interface DeviceDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Pick<Logger, 'debug'>;
  readonly lastGood: Config | null;
  readonly problems: Problems;
}

export interface ThisDevice extends Device, OwnersByServer {
  /** A person has decided that listeners are taken. */
  taken(): void;
  stop(): void;
  /** Resolves when all is on disk, or could not be written. Never rejects. */
  written(): Promise<void>;
}
