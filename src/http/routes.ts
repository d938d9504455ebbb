import type { IncomingMessage, ServerResponse } from 'node:http';
import { CONTENT_TYPES, createMetrics, type ExpositionFormat, type RenderMetrics } from '../metrics/metrics.ts';
import type { StatusDocument, TunnelStatus } from '../status/document.ts';
import { judge, type AccessPolicy } from './access.ts';
import type { HttpHandler } from './http-server.ts';

export interface RoutesDeps {
  readonly policy: AccessPolicy;
  status(): StatusDocument;
  /** A bug of ours. */
  onError(error: unknown): void;
}

/** What is served: metrics, and health for machines. Nothing can be changed by it. */
export function createRoutes(deps: RoutesDeps): HttpHandler {
  const renderers = new Map<ExpositionFormat, RenderMetrics>();
  const routes: Readonly<Record<string, (request: IncomingMessage) => Answer | Promise<Answer>>> = {
    '/live': () => ({ status: 200, type: TEXT, body: 'live\n' }),
    '/ready': () => ready(deps.status()),
    '/metrics': async ({ headers }) => {
      const format = (headers.accept ?? '').includes('application/openmetrics-text') ? 'openmetrics' : 'prometheus';
      const render = renderers.get(format) ?? createMetrics(format);
      renderers.set(format, render);
      return { status: 200, type: CONTENT_TYPES[format], body: await render(deps.status()) };
    },
  };
  return (request, response) => {
    const refusal = refuse(request, deps.policy);
    if (refusal !== null) {
      send(response, request, refusal);
      return;
    }
    const path = pathOf(request.url ?? '');
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    const answer = route?.(request) ?? { status: 404, type: TEXT, body: 'not found\n' };
    Promise.resolve(answer).then(
      (found) => send(response, request, found),
      (error: unknown) => {
        deps.onError(error);
        send(response, request, { status: 500, type: TEXT, body: 'it did not work; the log says why\n' });
      },
    );
  };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';

function refuse({ method, headers }: IncomingMessage, policy: AccessPolicy): Answer | null {
  if (method !== 'GET' && method !== 'HEAD')
    return { status: 405, type: TEXT, body: 'only GET and HEAD: nothing can be changed here\n' };
  const refusal = judge(headers, policy);
  return refusal === null ? null : { status: refusal.status, type: TEXT, body: `${refusal.reason}\n` };
}

/** The target of a request without its query. */
function pathOf(url: string): string {
  return /^[^?#]*/.exec(url)![0];
}

/** For load balancers and watchers: 200 where every tunnel is up, else 503 with the reasons. */
function ready({ tunnels }: StatusDocument): Answer {
  const missing = tunnels.filter(({ phase }) => phase !== 'up');
  const body = { ready: missing.length === 0, tunnels: missing.map(reasonOf) };
  return { status: missing.length === 0 ? 200 : 503, type: JSON_TYPE, body: `${JSON.stringify(body)}\n` };
}

function reasonOf({ name, phase, since, failure }: TunnelStatus) {
  return { name, phase, since, ...(failure === undefined ? {} : { code: failure.code, message: failure.message }) };
}

function send(response: ServerResponse, { method }: IncomingMessage, { status, type, body }: Answer): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    ...HEADERS,
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
  });
  response.end(method === 'HEAD' ? undefined : body);
}

/** What is sent says nothing to other pages, and is shown as what it is. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;
