import type { IncomingMessage, ServerResponse } from 'node:http';
import { CONTENT_TYPES, createMetrics, type ExpositionFormat, type RenderMetrics } from '../metrics/metrics.ts';
import { isFine, type StatusDocument, type TunnelStatus } from '../status/document.ts';
import { cookieOf, judge, type AccessPolicy } from './access.ts';
import type { HttpHandler } from './http-server.ts';
import type { Links } from './links.ts';
import { ASSET_NAMES, createAssets } from './page/assets.ts';
import type { PageStream } from './page/stream.ts';

export interface RoutesDeps {
  readonly policy: AccessPolicy;
  readonly links: Links;
  readonly page: Pick<PageStream, 'add'>;
  status(): StatusDocument;
  /** A bug of ours. */
  onError(error: unknown): void;
}

/** What is served: metrics, health for machines, and the page. Nothing can be changed by it. */
export function createRoutes(deps: RoutesDeps): HttpHandler {
  const routes = routesOf(deps);
  return (request, response, endless) => {
    const target = readTarget(request.url ?? '');
    // RFC 9112 section 3.2.2: what an absolute target names counts, and not the Host header.
    const headers = target.host === null ? request.headers : { ...request.headers, host: target.host };
    const refusal = hasTwoHosts(request) ? TWO_HOSTS : refuse(request.method, { ...target, headers }, deps);
    if (refusal !== null) {
      send(response, request, refusal);
      return;
    }
    if (target.path === '/events' && request.method === 'GET') {
      openStream(response, request, endless, deps.page);
      return;
    }
    const route = Object.hasOwn(routes, target.path) ? routes[target.path] : undefined;
    const answer = async () => (await route?.(request)) ?? { status: 404, type: TEXT, body: 'not found\n' };
    answer().then(
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
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

type Routes = Readonly<Record<string, (request: IncomingMessage) => Answer | Promise<Answer>>>;

function routesOf({ status }: RoutesDeps): Routes {
  const renderers = new Map<ExpositionFormat, RenderMetrics>();
  const assets = createAssets();
  const files = ASSET_NAMES.map((name) => {
    const path = name === 'index.html' ? '/' : `/${name}`;
    return [path, async () => ({ status: 200, ...(await assets(name)) })] as const;
  });
  return {
    '/live': () => ({ status: 200, type: TEXT, body: 'live\n' }),
    '/ready': () => ready(status()),
    '/metrics': async ({ headers }) => {
      const format = (headers.accept ?? '').includes('application/openmetrics-text') ? 'openmetrics' : 'prometheus';
      const render = renderers.get(format) ?? createMetrics(format);
      renderers.set(format, render);
      return { status: 200, type: CONTENT_TYPES[format], body: await render(status) };
    },
    '/events': () => ({ status: 200, type: EVENTS, body: '' }),
    ...Object.fromEntries(files),
  };
}

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';
const EVENTS = 'text/event-stream';

/** RFC 9112 section 3.2; Node.js takes the first one. */
function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  return rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === 'host').length > 1;
}

const TWO_HOSTS: Answer = { status: 400, type: TEXT, body: 'two Host headers\n' };

interface Target {
  /** Null where the Host header says it. */
  readonly host: string | null;
  readonly path: string;
  readonly query: string;
}

/** The target of a request: `/path?query`, or the same after `http://host`. */
function readTarget(url: string): Target {
  const [, host = null, path = '', query = ''] = /^(?:http:\/\/([^/?#]*))?([^?#]*)\??([^#]*)/i.exec(url) ?? [];
  return { host, path: path === '' && host !== null ? '/' : path, query };
}

function refuse(
  method: string | undefined,
  { headers, path, query }: Target & { readonly headers: IncomingMessage['headers'] },
  { policy, links }: RoutesDeps,
): Answer | null {
  if (method !== 'GET' && method !== 'HEAD')
    return {
      status: 405,
      type: TEXT,
      body: 'only GET and HEAD: nothing can be changed here\n',
      headers: { allow: 'GET, HEAD' },
    };
  const refusal = judge(headers, policy);
  const [, key] = /^key=([\w-]{1,100})$/.exec(path === '/' ? query : '') ?? [];
  // Only a token makes keys, and only its lack is what a key can cure. HEAD is of those who look ahead, and uses none up.
  if (policy.token !== null && key !== undefined && refusal?.status !== 403 && method === 'GET') {
    if (links.redeem(key)) return redirect(`${cookieOf(policy.token)}; ${COOKIE_ATTRIBUTES}`);
    if (refusal === null) return redirect(null);
    return unauthorized('this link is used or too old: `tunneld page` prints a new one');
  }
  if (refusal === null) return null;
  if (refusal.status === 401) return unauthorized(refusal.reason);
  return { status: refusal.status, type: TEXT, body: `${refusal.reason}\n` };
}

function unauthorized(reason: string): Answer {
  return { status: 401, type: TEXT, body: `${reason}\n`, headers: { 'www-authenticate': 'Bearer' } };
}

/** To the page, so that the key is not in the address any more. */
function redirect(cookie: string | null): Answer {
  const headers = { location: '/', ...(cookie === null ? {} : { 'set-cookie': cookie }) };
  return { status: 303, type: TEXT, body: '', headers };
}

/** 400 days are the most that browsers keep. Lax: the link may be clicked on in a message. */
const COOKIE_ATTRIBUTES = 'HttpOnly; SameSite=Lax; Path=/; Max-Age=34560000';

function openStream(
  response: ServerResponse,
  request: IncomingMessage,
  endless: () => void,
  page: RoutesDeps['page'],
): void {
  if (!page.add(response)) {
    send(response, request, { status: 503, type: TEXT, body: 'too many pages are open\n' });
    return;
  }
  endless();
  response.writeHead(200, { 'content-type': EVENTS, connection: 'close', ...HEADERS });
  response.flushHeaders();
}

/** For load balancers and watchers: 200 where every tunnel is up, else 503 with the reasons. */
function ready({ tunnels }: StatusDocument): Answer {
  const missing = tunnels.filter((tunnel) => !isFine(tunnel));
  const body = { ready: missing.length === 0, tunnels: missing.map(reasonOf) };
  return { status: missing.length === 0 ? 200 : 503, type: JSON_TYPE, body: `${JSON.stringify(body)}\n` };
}

function reasonOf({ name, phase, since, downSince, failure }: TunnelStatus) {
  return {
    name,
    phase,
    since: downSince ?? since,
    ...(failure === undefined ? {} : { code: failure.code, message: failure.message }),
  };
}

function send(response: ServerResponse, { method }: IncomingMessage, { status, type, body, headers }: Answer): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    ...HEADERS,
    ...headers,
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
