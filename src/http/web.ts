import { createQueue } from '../lib/async/queue.ts';
import { errorCode, errorText, printable } from '../lib/text.ts';
import type { MetricsConfig } from '../model/config.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { HttpServer } from './http-server.ts';
import type { ServeStatusDeps } from './serve-status.ts';

/** What the daemon serves by HTTP, if anything. */
export interface Web {
  /** Serves as this says, and no longer as was said before. Never rejects. */
  configure(wanted: MetricsConfig): Promise<void>;
  close(): Promise<void>;
}

export interface WebDeps extends ServeStatusDeps {
  /** Hears why nothing is served, and null once it is. */
  readonly onProblem: (message: string | null) => void;
}

/** What cannot be served (a port in use, a token that others can read) is tried again every minute; no tunnel waits for it. */
export function createWeb(deps: WebDeps): Web {
  const inTurn = createQueue();
  let server: HttpServer | null = null;
  let cancel = () => {};
  const close = async () => {
    cancel();
    await server?.close();
    server = null;
  };
  const configure = async (wanted: MetricsConfig): Promise<void> => {
    await close();
    const { listen } = wanted;
    if (listen === null) {
      deps.onProblem(null);
      return;
    }
    try {
      server = await open({ ...wanted, listen }, deps);
      deps.onProblem(null);
    } catch (error) {
      deps.onProblem(`metrics ${printable(formatEndpoint(listen))}: ${explain(error)}`);
      cancel = deps.clock.timer(RETRY_MS, () => void inTurn(() => configure(wanted)));
    }
  };
  return { configure: (wanted) => inTurn(() => configure(wanted)), close: () => inTurn(close) };
}

const RETRY_MS = 60_000;

/** All of it is loaded when it is wanted for the first time, and then stays in memory: an upgrade may replace the files. */
async function open(config: MetricsConfig & { readonly listen: Endpoint }, deps: WebDeps): Promise<HttpServer> {
  const { serveStatus } = await import('./serve-status.ts');
  return await serveStatus(config, deps);
}

function explain(error: unknown): string {
  const code = errorCode(error);
  if (code === 'EADDRINUSE') return 'another program listens there; choose another port with metrics.listen';
  if (code === 'EADDRNOTAVAIL') return 'this device does not have that address';
  if (code === 'EACCES') return 'permission denied; ports below 1024 are for root alone';
  return printable(errorText(error));
}
