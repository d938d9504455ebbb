import type { Device } from '../net/device.ts';
import { type Holdings, type HoldingsByServer, isCopy, remoteListeners } from '../forwarding/listeners/holdings.ts';
import type { SourcePorts } from '../net/source-ports.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatServer } from '../model/state.ts';

/** The machine, and what is remembered of the listeners that it had. */
export interface TunnelDevice extends Device, HoldingsByServer {}

/** What a tunnel remembers of its earlier lives. */
export interface Remembered {
  readonly holdings: Holdings;
  /** Null where any port will do. */
  readonly ports: SourcePorts | null;
  /** Whether it connected before, so that a dead connection of it may be in the way. */
  readonly connected: boolean;
  /** Whether it had one of its listeners before, so that its login is known to work. */
  readonly worked: boolean;
}

/** A machine that may be a copy forgets the ports of the one that it is a copy of: to come from them would end its connections. */
export function remember(spec: TunnelSpec, device: Pick<TunnelDevice, 'holdings' | 'sourcePorts'>): Remembered {
  const holdings = device.holdings(formatServer(spec));
  const ports = spec.sourcePort === 'sticky' ? device.sourcePorts(spec.name, formatServer(spec)) : null;
  if (remoteListeners(spec).some((listen) => isCopy(holdings.admission(listen)))) ports?.forget();
  const worked = remoteListeners(spec).some((listen) => !holdings.isNew(listen));
  return { holdings, ports, connected: ports !== null && ports.earlier(0).length > 0, worked };
}
