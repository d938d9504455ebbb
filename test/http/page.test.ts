import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { PageChange, PageDocument } from '../../src/http/page/document.ts';
import type { Past } from '../../src/history/summary.ts';
import { fakeClock } from '../support/clock.ts';
import { startPage, type PageFixtureOptions } from '../support/page-fixture.ts';
import { runningTunnel } from '../support/running.ts';
import { tempDir, until } from '../support/until.ts';

const UP = runningTunnel('up', { phase: 'up', rttMs: 12.5 }, { state: 'up', verified: 'yes' });
const DOWN = { ...UP, state: { ...UP.state, phase: 'waiting', retryAt: 9000 } } as typeof UP;

async function serve(t: TestContext, tunnels = [UP], options: PageFixtureOptions = {}) {
  const page = await startPage(tunnels, options);
  t.after(() => page.server.close());
  return page;
}

function open(port: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, headers, agent: false }, resolve).on('error', reject);
  });
}

async function ask(port: number, path: string, headers: Readonly<Record<string, string>> = {}) {
  const response = await open(port, path, headers);
  let body = '';
  for await (const text of response.setEncoding('utf8')) body += String(text);
  return { status: response.statusCode, headers: response.headers satisfies IncomingHttpHeaders, body };
}

function dial(port: number): Socket {
  return connect(port, '127.0.0.1').on('error', () => {});
}

interface PageEvent {
  readonly name: string;
  readonly data: PageDocument & PageChange;
}

async function follow(t: TestContext, port: number) {
  const response = await open(port, '/events');
  t.after(() => response.destroy());
  const events: PageEvent[] = [];
  let text = '';
  response.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    const parts = text.split('\n\n');
    text = parts.pop()!;
    for (const part of parts) {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
      events.push({ name, data: JSON.parse(data) as PageEvent['data'] });
    }
  });
  response.on('error', () => {});
  return { response, events };
}

test('reads the past again where a tunnel changed while it was read', async (t) => {
  const clock = fakeClock();
  const readings: ((pasts: ReadonlyMap<string, Past>) => void)[] = [];
  const pasts = () => new Promise<ReadonlyMap<string, Past>>((resolve) => readings.push(resolve));
  const { port, show } = await serve(t, [DOWN], { clock, pasts });
  const { events } = await follow(t, port);
  await until(() => readings.length === 1, { what: 'the first reading' });
  show([UP]);
  await clock.advance(500);
  readings[0]!(new Map());
  await until(async () => (await clock.advance(250), events.length > 0), { what: 'the first event' });
  await until(async () => (await clock.advance(250), readings.length === 2), { what: 'the second reading' });
  const outage = {
    tunnel: 'up',
    from: clock.wall() - 9,
    to: clock.wall(),
    cause: 'not-running',
    message: '',
    visitors: 0,
  } as const;
  readings[1]!(new Map([['up', { watched: [], outages: [{ ...outage, offMs: 0, ended: 'up' }] }]]));
  const shown = () => events.some(({ data }) => data.history?.tunnels['up']?.outages[0]?.cause === 'not-running');
  await until(async () => (await clock.advance(250), shown()), { what: 'the outage' });
});

test('sends all at first, then what has changed', async (t) => {
  const past: Past = {
    watched: [{ from: 1000, to: Date.now() }],
    outages: [
      { tunnel: 'up', from: 2000, to: 3000, cause: 'disconnected', message: '', visitors: 0, offMs: 0, ended: 'up' },
    ],
  };
  const { port, memory, show } = await serve(t, [UP], {
    pasts: () =>
      Promise.resolve(
        new Map([
          [
            'up',
            {
              ...past,
              outages: past.outages.map((outage) => ({ ...outage, from: Date.now() - 9000, to: Date.now() - 8000 })),
            },
          ],
        ]),
      ),
  });
  memory.add('{"level":30,"msg":"before"}\n');
  const { events } = await follow(t, port);
  await until(() => events.length > 0, { what: 'the first event' });
  const [first] = events;
  assert.equal(first?.name, 'page');
  assert.deepEqual(
    first?.data.tunnels.map(({ name, phase }) => [name, phase]),
    [['up', 'up']],
  );
  assert.deepEqual(first?.data.log, ['{"level":30,"msg":"before"}\n']);
  assert.equal(first?.data.history.tunnels['up']?.outages[0]?.cause, 'disconnected');
  assert.deepEqual(first?.data.samples.tunnels['up']?.rtt, [12.5]);

  show([DOWN]);
  memory.add('{"level":40,"msg":"after"}\n');
  const changes = () => events.filter(({ name }) => name === 'change').map(({ data }) => data);
  await until(() => changes().some(({ tunnels }) => tunnels?.[0]?.phase === 'waiting'), { what: 'the fall' });
  await until(() => changes().some(({ log }) => log?.[0] === '{"level":40,"msg":"after"}\n'), { what: 'the line' });
  show([]);
  await until(() => changes().some(({ names }) => names?.length === 0), { what: 'the removal' });
});

test('has no timer when nobody looks', async (t) => {
  const clock = fakeClock();
  const { port, server, memory } = await serve(t, [UP], { clock });
  server.changed();
  memory.add('{}\n');
  assert.equal(clock.pending(), 0);
  const { response, events } = await follow(t, port);
  // The timer of all clients, and none for this one.
  await until(async () => (await clock.advance(250), events.length > 0), { what: 'the first event' });
  assert.equal(clock.pending(), 1);
  response.destroy();
  await until(() => clock.pending() === 0, { what: 'the timer to be gone' });
});

test('sends the last lines of a flood, with the number of the others', async (t) => {
  const { port, memory } = await serve(t);
  const { events } = await follow(t, port);
  await until(() => events.length > 0, { what: 'the first event' });
  for (let index = 0; index < 5000; index++) memory.add(`{"n":${index}}\n`);
  const told = await until(() => events.find(({ data }) => data.logOmitted !== undefined)?.data, { what: 'the flood' });
  assert.equal((told.logOmitted ?? 0) + told.log.length, 5000);
  assert.equal(told.log.at(-1), '{"n":4999}\n');
  assert.ok(told.log.length <= 200);
});

test('stays within bounds when a hundred clients never read, and serves one that does', async (t) => {
  const many = Array.from({ length: 50 }, (_, index) => runningTunnel(`t${index}`, { phase: 'up', rttMs: 1 }));
  const { port, show, memory } = await serve(t, many);
  const { events } = await follow(t, port);
  await until(() => events.length > 0, { what: 'the first event' });
  const before = process.memoryUsage.rss();
  const sockets = Array.from({ length: 100 }, () => dial(port).pause());
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  for (const socket of sockets) socket.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(async () => (await ask(port, '/events').catch(() => null))?.status === 503, {
    what: 'the places to be taken',
  });
  const line = `{"level":30,"msg":"${'x'.repeat(2000)}"}\n`;
  for (let round = 2; round < 12; round++) {
    for (let index = 0; index < 200; index++) memory.add(line);
    show(many.map((tunnel) => ({ ...tunnel, state: { ...tunnel.state, rttMs: round } })));
    await until(() => events.some(({ data }) => data.tunnels?.[0]?.rttMs === round), { what: `round ${round}` });
    events.length = 0;
    assert.equal((await ask(port, '/live')).status, 200);
  }
  const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
  t.diagnostic(`${Math.round(grown)} MiB more`);
  assert.ok(grown < 150, `${grown} MiB`);
});

test('disconnects a client when it does not keep up', async (t) => {
  const clock = fakeClock();
  const { port, memory } = await serve(t, [UP], { clock });
  const slow = dial(port).pause();
  t.after(() => slow.destroy());
  slow.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(async () => (await clock.advance(250), clock.pending() === 1), { what: 'the client' });
  // More than the kernel takes.
  await until(
    async () => {
      for (let index = 0; index < 200; index++) memory.add(`${'x'.repeat(4000)}\n`);
      await clock.advance(300);
      return clock.pending() === 0;
    },
    { what: 'the client to be gone' },
  );
});

test('lets one browser in by a link, once, with a cookie that does not tell the token', async (t) => {
  const clock = fakeClock();
  const tokenFile = join(await tempDir(t), 'token');
  const { port, server } = await serve(t, [UP], { clock, tokenFile });
  assert.equal((await ask(port, '/live')).status, 401);
  assert.equal((await ask(port, '/?key=wrong')).status, 401);
  const key = server.linkKey()!;
  const first = await ask(port, `/?key=${key}`, {
    host: 'device.example:9180',
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
  });
  assert.deepEqual([first.status, first.headers.location], [303, '/']);
  const cookie = first.headers['set-cookie']?.[0] ?? '';
  assert.match(cookie, /^tunneld-[\w-]{8}=[\w-]{43}; HttpOnly; SameSite=Lax; Path=\//);
  assert.ok(!cookie.includes(readFileSync(tokenFile, 'utf8').trim()));
  const sent = { cookie: cookie.split(';')[0]! };
  assert.equal((await ask(port, '/live', sent)).status, 200);
  assert.equal((await ask(port, '/metrics', sent)).status, 200);
  const again = await ask(port, `/?key=${key}`);
  assert.equal(again.status, 401);
  assert.match(again.body, /used or too old: `tunneld page`/);
  assert.equal((await ask(port, `/?key=${key}`, sent)).status, 303);

  const late = server.linkKey()!;
  await clock.advance(600_000);
  assert.equal((await ask(port, `/?key=${late}`)).status, 401);
  const keys = Array.from({ length: 17 }, () => server.linkKey()!);
  assert.equal((await ask(port, `/?key=${keys[0]}`)).status, 401);
  assert.equal((await ask(port, `/?key=${keys[16]}`, { origin: 'http://evil.example' })).status, 403);
  assert.equal((await ask(port, `/?key=${keys[16]}`)).status, 303);
  writeFileSync(tokenFile, 'another-token-of-more-than-20-characters\n');
  assert.equal(await server.isCurrent(), false);
});
