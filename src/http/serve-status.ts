import type { Clock } from '../lib/async/clock.ts';
import type { MetricsConfig } from '../model/config.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { openHttpServer, type HttpServer } from './http-server.ts';
import { createRoutes, type RoutesDeps } from './routes.ts';
import { readToken } from './token.ts';

export interface ServeStatusDeps extends Pick<RoutesDeps, 'status' | 'onError'> {
  readonly clock: Clock;
  /** The configuration that runs here. */
  readonly config: string;
}

/** Serves metrics and health to those who have the token, where one is needed. Rejects where that cannot be. */
export async function serveStatus(
  { listen, tokenFile }: MetricsConfig & { readonly listen: Endpoint },
  { status, onError, clock, config }: ServeStatusDeps,
): Promise<HttpServer> {
  const token = tokenFile === null ? null : await readToken(tokenFile);
  const routes = createRoutes({ policy: { socket: listen.type === 'unix', token }, status, onError });
  return await openHttpServer(listen, routes, { clock, config });
}
