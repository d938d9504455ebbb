import type { ForwardStatus, StatusDocument, TunnelStatus } from '../../src/status/document.ts';

/** The moment of the documents below. */
export const NOW = Date.UTC(2030, 0, 1, 12);

export const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

/** A status document with these tunnels. */
export function statusOf(tunnels: readonly TunnelStatus[], change: Partial<StatusDocument> = {}): StatusDocument {
  return {
    now: ago(0),
    version: '1.2.3',
    pid: 7,
    startedAt: ago(7200),
    health: 'ok',
    config: '/etc/tunneld/config.yaml',
    tunnels,
    ...change,
  };
}

/** A tunnel that has been up for an hour, with one verified listener. */
export function upTunnel(name: string, change: Partial<TunnelStatus> = {}): TunnelStatus {
  return {
    name,
    phase: 'up',
    health: 'ok',
    since: ago(3600),
    server: 'limited@server:22',
    attempts: 0,
    forwards: [forwardStatus()],
    ...change,
  };
}

/** One that was lost twelve seconds ago. */
export function downTunnel(name: string, change: Partial<TunnelStatus> = {}): TunnelStatus {
  return upTunnel(name, {
    phase: 'connecting',
    since: ago(1),
    downSince: ago(12),
    attempts: 2,
    failure: { code: 'keepalive-lost', message: 'no answer', hint: 'Wait.', at: ago(12) },
    forwards: [forwardStatus({ state: 'pending', verified: 'unknown' })],
    ...change,
  });
}

export function forwardStatus(change: Partial<ForwardStatus> = {}): ForwardStatus {
  return {
    kind: 'remote',
    listen: 'localhost:8080',
    target: 'localhost:22',
    state: 'up',
    verified: 'yes',
    connections: 0,
    totalConnections: 0,
    refusedConnections: 0,
    cutConnections: 0,
    bytesIn: 0,
    bytesOut: 0,
    ...change,
  };
}
