import { createQueue } from '../lib/async/queue.ts';
import { errorCode, errorText, printable } from '../lib/text.ts';
import type { PageAddress } from '../control/protocol.ts';
import type { MetricsConfig } from '../model/config.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { ServeStatusDeps, StatusServer } from './serve-status.ts';

/** What the daemon serves by HTTP, if anything. */
export interface Web {
  /** Serves what this names, and no longer what was served before; a token is read again. Never rejects. */
  configure(wanted: MetricsConfig): Promise<void>;
  /** To be called after each change of a tunnel. */
  changed(): void;
  /** Where the page is, with a new link to it. */
  page(): PageAddress;
  close(): Promise<void>;
}

export interface WebDeps extends ServeStatusDeps {
  /** Hears why nothing is served, and null once it is. */
  readonly onProblem: (message: string | null) => void;
}

/** What cannot be served (a port in use, a token that others can read) is tried again every minute; no tunnel waits for it. */
export function createWeb(deps: WebDeps): Web {
  const oneAtATime = createQueue();
  let server: StatusServer | null = null;
  let served: MetricsConfig = { listen: null, tokenFile: null };
  let problem: string | null = null;
  let cancel = () => {};
  const report = (message: string | null) => {
    problem = message;
    deps.onProblem(message);
  };
  const close = async () => {
    cancel();
    await server?.close();
    server = null;
  };
  const configure = async (wanted: MetricsConfig): Promise<void> => {
    const same = JSON.stringify(wanted) === JSON.stringify(served);
    if (same && server !== null && (await server.isCurrent())) return;
    await close();
    served = wanted;
    const { listen } = wanted;
    if (listen === null) {
      report(null);
      return;
    }
    try {
      // All of it is loaded when it is wanted for the first time, and then stays in memory: an upgrade may replace the files.
      const { serveStatus } = await import('./serve-status.ts');
      server = await serveStatus({ ...wanted, listen }, deps);
      report(null);
    } catch (error) {
      report(`metrics ${printable(formatEndpoint(listen))}: ${explain(error, listen)}`);
      cancel = deps.clock.timer(RETRY_MS, () => void oneAtATime(() => configure(wanted)));
    }
  };
  return {
    configure: (wanted) => oneAtATime(() => configure(wanted)),
    changed: () => server?.changed(),
    page: () => ({ listen: served.listen, problem, key: server?.linkKey() ?? null }),
    close: () => oneAtATime(close),
  };
}

const RETRY_MS = 60_000;

function explain(error: unknown, { type }: Endpoint): string {
  const code = errorCode(error);
  if (code === 'EADDRINUSE') return 'another program listens there; choose another port with metrics.listen';
  if (code === 'EADDRNOTAVAIL') return 'this device does not have that address';
  if (code === 'EACCES' && type === 'tcp') return 'permission denied; ports below 1024 are for root alone';
  return printable(errorText(error));
}
