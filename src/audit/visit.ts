import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { STILL_DEVICE } from '../tunnel/device.ts';
import { dial } from '../tunnel/dial.ts';
import { prepareLogin } from '../tunnel/login.ts';
import { firstMachine, prepareRoute } from '../tunnel/route.ts';
import type { Endpoint, TunnelSpec } from '../tunnel/spec.ts';
import type { SshConnection } from '../tunnel/ssh.ts';
import type { AuthReport } from '../tunnel/ssh2/auth-report.ts';
import type { IdentityCache } from '../tunnel/ssh2/identities.ts';

export interface VisitDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly identities: IdentityCache;
}

/** A connection to the tunnel's server that is the audit's own. */
export interface Visit {
  readonly connection: SshConnection;
  readonly report: AuthReport | null;
  /** Rejects when the connection, or something below it, has ended. */
  readonly lost: Promise<never>;
  /** Resolves when somebody comes to this port of the server; he is turned away. */
  visitorAt(port: number): Promise<void>;
  /** Ends it, politely where the server answers. */
  leave(): Promise<void>;
}

/** Logs in as the tunnel does, on the same way, but from any port and without learning host keys. Rejects with a TunnelFailure. */
export async function visitServer(spec: TunnelSpec, deps: VisitDeps, signal: AbortSignal): Promise<Visit> {
  const { clock } = deps;
  const onVisitors = new Set<(listen: Endpoint) => void>();
  let report: AuthReport | null = null;
  const quiet = {
    ...spec,
    updateHostKeys: false,
    jumps: spec.jumps.map((jump) => ({ ...jump, updateHostKeys: false })),
  };
  const login = await prepareLogin(quiet, { ...deps, name: spec.name, asksFirst: true });
  const travel = await prepareRoute(quiet, {
    ...deps,
    device: STILL_DEVICE,
    reach: async () => {
      const first = firstMachine(quiet);
      const started = clock.now();
      const socket = await dial(first, first.connectTimeoutMs, clock, signal);
      return { socket, leftMs: Math.max(MIN_HANDSHAKE_MS, first.connectTimeoutMs - (clock.now() - started)) };
    },
    heartbeat: () => {},
    onSourcePort: () => {},
  });
  const route = await travel(signal);
  try {
    const events = {
      onAuthenticating: () => {},
      onVisitor: ({ listen, reject }: { readonly listen: Endpoint; reject(): void }) => {
        reject();
        for (const tell of onVisitors) tell(listen);
      },
      onAuthenticated: (said: AuthReport) => (report = said),
    };
    const connection = await Promise.race([route.lost, login(route, events, signal)]);
    const lost = Promise.race([connection.lost, route.lost]);
    lost.catch(() => {});
    return {
      connection,
      report,
      lost,
      visitorAt: (port) =>
        new Promise((resolve) => {
          onVisitors.add((at) => {
            if (at.type === 'tcp' && at.port === port) resolve();
          });
        }),
      leave: async () => {
        await connection.close();
        await route.close();
        connection.destroy();
        await route.destroy();
      },
    };
  } catch (error) {
    await route.destroy();
    throw error;
  }
}

/** As in the tunnel itself: a TCP connection won at the last moment is still worth a try. */
const MIN_HANDSHAKE_MS = 1000;
