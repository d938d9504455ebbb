import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openHttpServer, type HttpHandler } from '../../src/http/http-server.ts';
import { createLinks } from '../../src/http/links.ts';
import { createRoutes } from '../../src/http/routes.ts';
import { createWeb } from '../../src/http/web.ts';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import { createLogMemory } from '../../src/lib/log/memory.ts';
import type { StatusDocument } from '../../src/status/document.ts';
import { fakeClock } from '../support/clock.ts';
import { listen } from '../support/listen.ts';
import { statusOf } from '../support/page-fixture.ts';
import { runningTunnel } from '../support/running.ts';
import { freePort, tempDir, until } from '../support/until.ts';

const UP = runningTunnel('up', { phase: 'up', rttMs: 12.5 }, { state: 'up', verified: 'yes' });
const DOWN = runningTunnel('down', {
  phase: 'waiting',
  lastUp: -60_000,
  retryAt: 0,
  failure: { code: 'connect-refused', message: 'nothing listens\u001b[2J', hint: '', at: 0 },
});

const documentOf = (...tunnels: readonly ReturnType<typeof runningTunnel>[]) => statusOf(tunnels);

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(
  port: number,
  path: string,
  options: { readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, agent: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    outgoing.on('error', reject).end();
  });
}

async function serve(t: TestContext, status: () => StatusDocument, clock: Clock = systemClock): Promise<number> {
  const routes = createRoutes({
    policy: { socket: false, token: null },
    links: createLinks(clock),
    page: { add: () => false },
    status,
    onError: assert.ifError,
  });
  return await serveHandler(t, routes, clock);
}

async function serveHandler(t: TestContext, handler: HttpHandler, clock: Clock): Promise<number> {
  const port = await freePort();
  const server = await openHttpServer({ type: 'tcp', host: '127.0.0.1', port }, handler, { clock });
  t.after(() => server.close());
  return port;
}

test('answers /ready with 200 when every tunnel is up, else with 503 and the reasons, and /live with 200', async (t) => {
  let document = documentOf(UP);
  const port = await serve(t, () => document);
  const ready = await ask(port, '/ready');
  assert.deepEqual([ready.status, JSON.parse(ready.body)], [200, { ready: true, tunnels: [] }]);
  document = documentOf(UP, DOWN);
  const { status, body, headers } = await ask(port, '/ready?verbose');
  assert.equal(status, 503);
  assert.equal(headers['cache-control'], 'no-store');
  const { tunnels } = JSON.parse(body) as { readonly tunnels: readonly Record<string, unknown>[] };
  assert.deepEqual(
    tunnels.map(({ name, phase, code, since }) => [name, phase, code, since]),
    [['down', 'waiting', 'connect-refused', document.tunnels[1]?.downSince]],
  );
  assert.equal((await ask(port, '/live')).status, 200);
  assert.equal((await ask(port, '/__proto__')).status, 404);
  assert.equal((await ask(port, '/toString')).status, 404);
});

test('serves /metrics in both formats, whichever came first', async (t) => {
  const port = await serve(t, () => documentOf(UP, DOWN));
  const openmetrics = { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' };
  for (const round of [1, 2]) {
    const plain = await ask(port, '/metrics');
    assert.match(plain.headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/, `${round}`);
    assert.match(plain.body, /^tunneld_tunnel_up\{tunnel="up"\} 1$/m);
    assert.match(plain.body, /^tunneld_tunnel_up\{tunnel="down"\} 0$/m);
    assert.match(plain.body, /^tunneld_tunnel_outages_total\{tunnel="up",cause="keepalive-lost"\} 2$/m);
    assert.match(plain.body, /^tunneld_tunnel_rtt_seconds\{tunnel="up"\} 0\.0125$/m);
    assert.match(plain.body, /^# TYPE tunneld_forward_received_bytes_total counter$/m);
    assert.doesNotMatch(plain.body, /# EOF/);
    const open = await ask(port, '/metrics', { headers: openmetrics });
    assert.match(open.headers['content-type'] ?? '', /^application\/openmetrics-text; version=1\.0\.0/);
    assert.match(open.body, /^# TYPE tunneld_tunnel_outages counter$/m);
    assert.match(open.body, /^tunneld_tunnel_outages_total\{tunnel="up",cause="keepalive-lost"\} 2$/m);
    assert.match(open.body, /\n# EOF\n$/);
  }
});

test('refuses a request when it is more than a question: nothing can be changed', async (t) => {
  const port = await serve(t, () => documentOf(UP));
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
    assert.equal((await ask(port, '/metrics', { method })).status, 405, method);
  const head = await ask(port, '/metrics', { method: 'HEAD' });
  assert.deepEqual([head.status, head.body], [200, '']);
  assert.equal((await ask(port, '/live', { headers: { host: 'evil.example' } })).status, 403);
});

function dial(port: number): Socket {
  return connect(port, '127.0.0.1').on('error', () => {});
}

const closed = (socket: Socket) => until(() => socket.resume().closed, { what: 'the end of a client' });

test('puts out a client when it drips, sends nothing or too much, and serves the next one', async (t) => {
  const clock = fakeClock();
  const port = await serve(t, () => documentOf(UP), clock);
  const [silent, drips, huge, garbage] = [dial(port), dial(port), dial(port), dial(port)];
  drips.write('GET /live HTTP/1.1\r\nHost: loc');
  huge.write(`GET /live HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}`);
  garbage.write('\u0016\u0003\u0001\u0000\r\n\r\n');
  await Promise.all([closed(huge), closed(garbage)]);
  await until(() => clock.pending() === 2, { what: 'the two that wait' });
  await clock.advance(10_000);
  await Promise.all([closed(silent), closed(drips)]);
  assert.equal((await ask(port, '/live')).status, 200);
});

test('bounds a thousand connections, and ends them when their clients do', async (t) => {
  const clock = fakeClock();
  const port = await serve(t, () => documentOf(UP), clock);
  const sockets = Array.from({ length: 1000 }, () => dial(port));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  await until(() => sockets.filter((socket) => socket.closed).length >= 1000 - 64, { what: 'the surplus to be gone' });
  assert.ok(clock.pending() <= 64, `${clock.pending()}`);
  for (const socket of sockets) socket.destroy();
  await until(() => clock.pending() === 0, { what: 'their timers to be gone' });
  assert.equal((await ask(port, '/live')).status, 200);
});

test('serves one that asks when all places are taken by those that do not', async (t) => {
  const port = await serve(t, () => documentOf(UP), fakeClock());
  for (let round = 0; round < 3; round++) {
    const sockets = Array.from({ length: 80 }, () =>
      dial(port).on('connect', function (this: Socket) {
        this.write('GET /live HTTP/1.1\r\nHost: loc');
      }),
    );
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    await until(() => sockets.filter((socket) => socket.closed).length >= 80 - 64, { what: 'all places to be taken' });
    assert.equal((await ask(port, '/live')).status, 200);
  }
});

const MANY = Array.from({ length: 200 }, (_, i) => ({ ...UP, spec: { ...UP.spec, name: `t${i}` } }));

test('gives the place of a client to others when it has not taken its answer for half a minute', async (t) => {
  const clock = fakeClock();
  // More than the kernel takes for a client that does not.
  const large = Buffer.alloc(20 * 2 ** 20, 'x');
  let answered = 0;
  const answer: HttpHandler = (_, response) => {
    answered += 1;
    response.end(large);
  };
  const port = await serveHandler(t, answer, clock);
  const sockets = Array.from({ length: 64 }, () => dial(port).pause());
  for (const socket of sockets) socket.write('GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(() => answered === 64, { what: 'all places to be taken' });
  await assert.rejects(ask(port, '/live'));
  await clock.advance(29_000);
  await assert.rejects(ask(port, '/live'));
  await clock.advance(11_000);
  assert.equal((await ask(port, '/live')).body.length, large.length);
  for (const socket of sockets) socket.destroy();
});

test('ends a client that asks again before it has its answer', async (t) => {
  const port = await serveHandler(t, (_, response, endless) => (endless(), response.flushHeaders()), systemClock);
  const socket = dial(port);
  socket.write('GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2));
  await closed(socket);
});

test('bounds a request when its answer is never read', async (t) => {
  const port = await serve(t, () => documentOf(...MANY));
  const sockets = Array.from({ length: 60 }, () => dial(port).pause());
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  for (const socket of sockets) socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50));
  const { status } = await ask(port, '/ready');
  assert.equal(status, 200);
  assert.ok(process.memoryUsage().rss < 400 * 2 ** 20, `${process.memoryUsage().rss}`);
});

test('renders once for all who ask for metrics and go away', async (t) => {
  let rendered = 0;
  const port = await serve(t, () => {
    rendered += 1;
    return documentOf(...MANY);
  });
  let gone = 0;
  for (let round = 0; round < 20; round++) {
    const sockets = Array.from({ length: 20 }, () => dial(port));
    for (const socket of sockets) socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
    // Answered one of them, or ended by us: the request of each has been read.
    await ask(port, '/live');
    for (const socket of sockets) socket.resetAndDestroy();
    gone += sockets.length;
  }
  assert.equal((await ask(port, '/metrics')).status, 200);
  assert.ok(rendered < gone / 4, `${rendered} renderings`);
});

function web(t: TestContext, clock: Clock = fakeClock()) {
  const problems: (string | null)[] = [];
  const served = createWeb({
    clock,
    memory: createLogMemory(),
    tunnels: () => [UP],
    status: () => documentOf(UP),
    pasts: () => Promise.resolve(new Map()),
    onProblem: (text) => problems.push(text),
    onError: assert.ifError,
  });
  t.after(() => served.close());
  return { served, problems };
}

test('says when a port is in use, and tries it again', async (t) => {
  const clock = fakeClock();
  const { served, problems } = web(t, clock);
  const occupant = createServer();
  const port = await listen(occupant);
  await served.configure({ listen: { type: 'tcp', host: '127.0.0.1', port }, tokenFile: null });
  assert.match(problems.at(-1) ?? '', /^metrics 127\.0\.0\.1:\d+: another program listens there/);
  await new Promise((resolve) => occupant.close(resolve));
  await clock.advance(60_000);
  await until(() => problems.at(-1) === null, { what: 'the listener' });
  assert.equal((await ask(port, '/live')).status, 200);
  await served.configure({ listen: null, tokenFile: null });
  await assert.rejects(ask(port, '/live'), /ECONNREFUSED/);
  assert.equal(clock.pending(), 0);
});

test('makes a token with mode 0600, and asks for it', async (t) => {
  const { served, problems } = web(t);
  const tokenFile = join(await tempDir(t), 'token');
  const port = await freePort();
  const wanted = { listen: { type: 'tcp', host: '127.0.0.1', port }, tokenFile } as const;
  await served.configure(wanted);
  assert.deepEqual(problems, [null]);
  assert.equal(statSync(tokenFile).mode & 0o777, 0o600);
  assert.equal((await ask(port, '/metrics')).status, 401);
  writeFileSync(tokenFile, 'a-token-of-more-than-20-characters\n');
  await served.configure(wanted);
  const headers = { authorization: 'Bearer a-token-of-more-than-20-characters' };
  assert.equal((await ask(port, '/metrics', { headers })).status, 200);
});

test('serves nothing when others can read the token, or when it is none', async (t) => {
  const { served, problems } = web(t);
  const tokenFile = join(await tempDir(t), 'token');
  const wanted = { listen: { type: 'tcp', host: '127.0.0.1', port: await freePort() }, tokenFile } as const;
  writeFileSync(tokenFile, 'a-token-of-more-than-20-characters\n', { mode: 0o644 });
  await served.configure(wanted);
  assert.match(problems.at(-1) ?? '', /can be read by others: chmod 600/);
  writeFileSync(join(tokenFile, '..', 'short'), 'short\n', { mode: 0o600 });
  await served.configure({ ...wanted, tokenFile: join(tokenFile, '..', 'short') });
  assert.match(problems.at(-1) ?? '', /holds no token/);
  await assert.rejects(ask(wanted.listen.port, '/live'), /ECONNREFUSED/);
});

test('serves on a Unix socket that only its owner may use', async (t) => {
  const { served, problems } = web(t);
  const path = join(await tempDir(t), 'metrics.sock');
  await served.configure({ listen: { type: 'unix', path }, tokenFile: null });
  assert.deepEqual(problems, [null]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const reply = await new Promise<number>((resolve, reject) => {
    request({ socketPath: path, path: '/live', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
  assert.equal(reply, 200);
  await served.close();
  assert.ok(!existsSync(path));
});

/** What the server answers to these bytes, until it closes. */
async function raw(port: number, text: string): Promise<string> {
  const socket = dial(port).setEncoding('utf8');
  let answer = '';
  socket.on('data', (data: string) => (answer += data)).write(text);
  await until(() => socket.closed, { what: 'the end of the answer' });
  return answer;
}

const status = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0);

test('judges the target of a request in whatever form it comes', async (t) => {
  const port = await serve(t, () => documentOf(UP));
  const rows: readonly [string, number][] = [
    ['GET /live HTTP/1.0\r\nHost: localhost\r\n\r\n', 200],
    ['GET /live HTTP/1.0\r\n\r\n', 403],
    ['GET /live HTTP/1.1\r\n\r\n', 400],
    ['GET http://localhost/live HTTP/1.1\r\nHost: localhost\r\n\r\n', 200],
    ['GET HTTP://127.0.0.1:9/live HTTP/1.1\r\nHost: evil.example\r\n\r\n', 200],
    ['GET http://evil.example/live HTTP/1.1\r\nHost: localhost\r\n\r\n', 403],
    ['GET http://localhost@evil.example/live HTTP/1.1\r\nHost: localhost\r\n\r\n', 403],
    ['GET https://localhost/live HTTP/1.1\r\nHost: localhost\r\n\r\n', 404],
    ['GET /live?x#y HTTP/1.1\r\nHost: [::1]:9180\r\n\r\n', 200],
    ['GET /live HTTP/1.1\r\nHost: user@localhost\r\n\r\n', 403],
    ['GET /live HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n', 400],
    ['GET /live HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n', 403],
    ['GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n', 404],
    ['GET /page.js/../../cli.js HTTP/1.1\r\nHost: localhost\r\n\r\n', 404],
    ['GET /%2e%2e/cli.js HTTP/1.1\r\nHost: localhost\r\n\r\n', 404],
    ['GET //live HTTP/1.1\r\nHost: localhost\r\n\r\n', 404],
    ['GET * HTTP/1.1\r\nHost: localhost\r\n\r\n', 404],
    ['OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n', 405],
    ['POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n', 405],
    ['HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n', 200],
    ['GET /live HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n', 413],
    ['CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', 0],
  ];
  for (const [text, expected] of rows) {
    const found = status(await raw(port, text));
    // Node refuses some by itself, and others without a word.
    assert.ok(found === expected || (expected === 0 && found !== 200), `${JSON.stringify(text)}: ${found}`);
  }
});
