import type { recogniseIdleEnds } from '../connection/ssh/idle-ends.ts';
import type { VisitLog } from '../forwarding/visitors/visit-log.ts';
import type { Device } from '../net/device.ts';
import { type Owners, type OwnersByServer, isCopy, remoteListeners } from '../forwarding/listeners/owners.ts';
import type { SourcePorts } from '../net/source-ports.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { loginKey } from '../model/server-key.ts';
import { formatServer } from '../model/state.ts';

/** This machine, and what is remembered of its listeners. */
export interface TunnelDevice extends Device, OwnersByServer {}

/** What a tunnel remembers of earlier processes. */
export interface Remembered {
  readonly owners: Owners;
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
  readonly explainEnd: ReturnType<typeof recogniseIdleEnds>;
}

/** A machine that may be a copy forgets the source ports: to dial from them would end the connections of the original machine. */
export function remember(spec: TunnelSpec, device: Pick<TunnelDevice, 'owners' | 'sourcePorts'>): Remembered {
  const owners = device.owners(loginKey(spec));
  const ports = spec.sourcePort === 'sticky' ? device.sourcePorts(spec.name, formatServer(spec)) : null;
  if (remoteListeners(spec).some((listen) => isCopy(owners.ownership(listen)))) ports?.forget();
  const worked = hadListener(spec, owners) || owners.wasUp(spec.name);
  return { owners, ports, connected: ports !== null && ports.earlier(0).length > 0, worked };
}

/** Remembers for the next process that this tunnel was up, where that does not follow from a remembered listener. */
export function rememberUp(spec: TunnelSpec, { owners }: Pick<Remembered, 'owners'>): void {
  if (!hadListener(spec, owners)) owners.rememberUp(spec.name);
}

function hadListener(spec: TunnelSpec, owners: Owners): boolean {
  return remoteListeners(spec).some((listen) => !owners.isNew(listen));
}
