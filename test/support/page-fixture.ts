import { serveStatus, type StatusServer } from '../../src/http/serve-status.ts';
import type { Past } from '../../src/history/summary.ts';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import { createLogMemory, type LogMemory } from '../../src/lib/log/memory.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import { statusDocument, type StatusDocument } from '../../src/status/document.ts';
import type { RunningTunnel } from '../../src/supervisor/supervisor.ts';
import { freePort } from './until.ts';

/** The status document of these tunnels. */
export function statusOf(
  tunnels: readonly RunningTunnel[],
  moment: { readonly now: number; readonly wall: number } = { now: 1000, wall: Date.UTC(2026, 0, 1) },
  { connections }: { readonly connections: boolean } = { connections: false },
): StatusDocument {
  const facts = {
    nativeCryptoProblem: null,
    process: { cpuSeconds: 1.5, residentBytes: 4096, openFileDescriptors: 9 },
    outagesOf: () => ({ totals: { 'keepalive-lost': { count: 2, seconds: 8.5 } }, last: null }),
    version: '1.2.3',
    pid: 7,
    config: '/etc/tunneld/config.yaml',
    configuration: { problem: null, trial: null },
    problems: [],
    startedAt: 0,
  };
  return statusDocument(facts, tunnels, moment, { connections });
}

/** A page of tunnels that a test makes up. */
export interface PageFixture {
  readonly port: number;
  readonly server: StatusServer;
  readonly memory: LogMemory;
  /** What the page is to show from now on. */
  show(tunnels: readonly RunningTunnel[]): void;
}

export interface PageFixtureOptions {
  readonly clock?: Clock;
  readonly pasts?: () => Promise<ReadonlyMap<string, Past>>;
  readonly tokenFile?: string | null;
}

/** `close` of its server ends it. */
export async function startPage(
  tunnels: readonly RunningTunnel[],
  { clock = systemClock, pasts = () => Promise.resolve(new Map()), tokenFile = null }: PageFixtureOptions = {},
): Promise<PageFixture> {
  const port = await freePort();
  const listen: Endpoint = { type: 'tcp', host: '127.0.0.1', port };
  const memory = createLogMemory();
  let shown = tunnels;
  const status = (connections = false) => statusOf(shown, { now: clock.now(), wall: clock.wall() }, { connections });
  const server = await serveStatus(
    { listen, tokenFile },
    {
      clock,
      memory,
      tunnels: () => shown,
      status,
      pasts,
      onError: (error) => {
        throw error;
      },
    },
  );
  const show = (next: readonly RunningTunnel[]) => {
    shown = next;
    server.changed();
  };
  return { port, server, memory, show };
}
