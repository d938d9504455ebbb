import type { IdleEnds } from '../connection/ssh/idle-ends.ts';
import type { VisitLog } from '../forwarding/visitors/visit-log.ts';
import type { Device } from '../net/device.ts';
import { type Holdings, type HoldingsByServer, isCopy, remoteListeners } from '../forwarding/listeners/holdings.ts';
import type { SourcePorts } from '../net/source-ports.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { loginKey } from '../model/server-key.ts';
import { formatServer } from '../model/state.ts';

/** This machine, and what is remembered of its listeners. */
export interface TunnelDevice extends Device, HoldingsByServer {}

/** What a tunnel remembers of earlier processes. */
export interface Remembered {
  readonly holdings: Holdings;
  /** Null where any local port will do. */
  readonly ports: SourcePorts | null;
  /** Whether it connected before: then a dead connection of it may hold its listeners. */
  readonly connected: boolean;
  /** Whether it was up before: then its login is known to work. */
  readonly worked: boolean;
}

/** What a tunnel keeps from one session to the next. */
export interface TunnelMemory extends Remembered {
  readonly visitLog: VisitLog;
  /** Completes the failure that ended a session, which had no channel for that long; null where it had one. */
  readonly explainEnd: IdleEnds['explain'];
}

/** A machine that may be a copy forgets the source ports: to dial from them would end the connections of the original machine. */
export function remember(spec: TunnelSpec, device: Pick<TunnelDevice, 'holdings' | 'sourcePorts'>): Remembered {
  const holdings = device.holdings(loginKey(spec));
  const ports = spec.sourcePort === 'sticky' ? device.sourcePorts(spec.name, formatServer(spec)) : null;
  if (remoteListeners(spec).some((listen) => isCopy(holdings.admission(listen)))) ports?.forget();
  const worked = hadListener(spec, holdings) || holdings.wasUp(spec.name);
  return { holdings, ports, connected: ports !== null && ports.earlier(0).length > 0, worked };
}

/** Remembers for the next process that this tunnel was up, where that does not follow from a remembered listener. */
export function rememberUp(spec: TunnelSpec, { holdings }: Pick<Remembered, 'holdings'>): void {
  if (!hadListener(spec, holdings)) holdings.rememberUp(spec.name);
}

function hadListener(spec: TunnelSpec, holdings: Holdings): boolean {
  return remoteListeners(spec).some((listen) => !holdings.isNew(listen));
}
