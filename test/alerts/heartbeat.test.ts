import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fetchOnce, redirected } from '../../src/alerts/fetch-once.ts';
import { createHeartbeat } from '../../src/alerts/heartbeat.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { fakeClock } from '../support/clock.ts';
import { listen } from '../support/listen.ts';
import { runningTunnel } from '../support/running.ts';
import { freePort, tempDir } from '../support/until.ts';

const URL_OF = 'https://hc.example/uuid';
const VERIFIED = runningTunnel('a', { phase: 'up' }, { state: 'up', verified: 'yes' });
const DOWN = runningTunnel('a', { phase: 'waiting', retryAt: 0 });

function watcher() {
  const clock = fakeClock();
  const beats: number[] = [];
  const problems: (string | null)[] = [];
  const answers: (() => Promise<void>)[] = [];
  const heartbeat = createHeartbeat({
    clock,
    onProblem: (message) => problems.push(message),
    fetch: () => {
      beats.push(clock.now());
      return answers.shift()?.() ?? Promise.resolve();
    },
  });
  return { clock, beats, problems, answers, heartbeat };
}

test('beats at once when all is verified, then again and again', async () => {
  const { clock, beats, heartbeat } = watcher();
  heartbeat.configure({ url: URL_OF, everyMs: 60_000 });
  heartbeat.observe([DOWN]);
  await clock.advance(100_000);
  assert.deepEqual(beats, []);
  heartbeat.observe([VERIFIED]);
  await clock.advance(130_000);
  assert.deepEqual(beats, [100_000, 160_000, 220_000]);
});

test('is silent without a timer while a tunnel is down or unverified', async () => {
  const { clock, beats, heartbeat } = watcher();
  heartbeat.configure({ url: URL_OF, everyMs: 60_000 });
  heartbeat.observe([VERIFIED]);
  for (const other of [DOWN, runningTunnel('b', { phase: 'up' }, { state: 'up', verified: 'unknown' })]) {
    heartbeat.observe([VERIFIED, other]);
    await clock.advance(600_000);
    assert.deepEqual([beats.length, clock.pending()], [1, 0]);
  }
});

test('does not beat faster when a tunnel flaps', async () => {
  const { clock, beats, heartbeat } = watcher();
  heartbeat.configure({ url: URL_OF, everyMs: 60_000 });
  for (let second = 0; second < 120; second++) {
    heartbeat.observe([second % 2 === 0 ? VERIFIED : DOWN]);
    await clock.advance(1000);
  }
  assert.ok(beats.length <= 3, `${beats.length}`);
});

test('counts a tunnel whose verification is off when it is up', async () => {
  const { clock, beats, heartbeat } = watcher();
  heartbeat.configure({ url: URL_OF, everyMs: 60_000 });
  heartbeat.observe([runningTunnel('a', { phase: 'up' }, { state: 'up', verified: 'unknown' }, { verify: 'off' })]);
  await clock.advance(0);
  assert.equal(beats.length, 1);
});

test('shows what went wrong, without the secret, until a beat succeeds', async () => {
  const { clock, problems, answers, heartbeat } = watcher();
  answers.push(() => Promise.reject(new Error('it answers with status 500')));
  heartbeat.configure({ url: URL_OF, everyMs: 60_000 });
  heartbeat.observe([VERIFIED]);
  await clock.advance(0);
  assert.deepEqual(problems, ['heartbeat hc.example: it answers with status 500']);
  await clock.advance(60_000);
  assert.deepEqual(problems.at(-1), null);
});

test('masks each part of the URL that says who we are when an error shows it', async () => {
  const { clock, problems, answers, heartbeat } = watcher();
  const url = 'https://some-login:pass%2Dphrase@hc.example/api/push/7d1f-uuid?token=query-token&status=up';
  answers.push(() =>
    Promise.reject(new Error(`no way to ${url}, pass-phrase, /push/7d1f-uuid, 7d1f-uuid, query-token; status=up`)),
  );
  heartbeat.configure({ url, everyMs: 60_000 });
  heartbeat.observe([VERIFIED]);
  await clock.advance(0);
  const [problem] = problems;
  assert.doesNotMatch(problem ?? '', /phrase|7d1f|query-token/);
  assert.match(problem ?? '', /^heartbeat hc\.example: no way to https:.*hc\.example.*status=up$/);
});

test('takes a URL whose password is not encoded as it should be', () => {
  const { problems, heartbeat } = watcher();
  heartbeat.configure({ url: 'https://me:100%25%@hc.example/', everyMs: 60_000 });
  assert.deepEqual(problems, []);
});

test('gives a fetch up when the next one begins', async () => {
  const { clock, beats, answers, heartbeat } = watcher();
  answers.push(() => new Promise(() => {}));
  heartbeat.configure({ url: URL_OF, everyMs: 60_000 });
  heartbeat.observe([VERIFIED]);
  await clock.advance(60_000);
  assert.equal(beats.length, 2);
  heartbeat.stop();
  assert.equal(clock.pending(), 0);
});

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  const listening = await listen(server);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${listening}`;
}

const fetchNow = (url: string, signal = new AbortController().signal) => fetchOnce(url, { clock: systemClock, signal });

test('fetches through redirects, and discards the rest when an answer is endless', async (t) => {
  const paths: string[] = [];
  const url = await serve(t, ({ url: path = '' }, response) => {
    paths.push(path);
    if (path === '/1') response.writeHead(302, { location: '/2' }).end();
    else {
      const timer = setInterval(() => response.write('x'.repeat(10_000)), 1);
      response.on('close', () => clearInterval(timer));
    }
  });
  await fetchNow(`${url}/1`);
  assert.deepEqual(paths, ['/1', '/2']);
});

test('asks nothing when it is stopped before it has begun', async (t) => {
  let asked = 0;
  const url = await serve(t, (_, response) => {
    asked += 1;
    response.end();
  });
  const stop = new AbortController();
  const fetching = fetchNow(url, stop.signal);
  stop.abort();
  await assert.rejects(fetching);
  await fetchNow(url);
  assert.equal(asked, 1);
});

test("fails when the answer's status is no success", async (t) => {
  const url = await serve(t, ({ url: path = '' }, response) => {
    if (path === '/loop') response.writeHead(301, { location: '/loop' }).end();
    else if (path === '/file') response.writeHead(301, { location: 'file:///etc/passwd' }).end();
    else if (path === '/cut') response.destroy();
    else response.writeHead(Number(path.slice(1))).end();
  });
  await assert.rejects(fetchNow(`${url}/loop`), /again and again/);
  await assert.rejects(fetchNow(`${url}/file`), /no web address/);
  await assert.rejects(fetchNow(`${url}/500`), /status 500/);
  await assert.rejects(fetchNow(`${url}/304`), /status 304/);
  await assert.rejects(fetchNow(`${url}/cut`), /socket hang up/);
  await assert.rejects(fetchNow(`http://127.0.0.1:${await freePort()}/`), /ECONNREFUSED/);
});

test('fails when nobody vouches for the certificate, when it is no TLS, and when it is redirected to http', async (t) => {
  const dir = await tempDir(t);
  const [key, cert] = [join(dir, 'key'), join(dir, 'cert')];
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', ...made, '-subj', '/CN=monitor.test'], { stdio: 'pipe' });
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) => response.end());
  const listening = await listen(server);
  t.after(() => server.close());
  const url = `https://127.0.0.1:${listening}/uuid`;
  await assert.rejects(fetchNow(url), /self-signed certificate/);
  const plain = await serve(t, (_, response) => response.writeHead(302, { location: url }).end());
  await assert.rejects(fetchNow(plain), /self-signed certificate/);
  await assert.rejects(fetchNow(plain.replace('http:', 'https:')), /SSL|EPROTO|wrong version/);
  assert.throws(() => redirected(new URL(url), 'http://127.0.0.1/uuid'), /from https to http/);
});

test('gives up when the server does not answer', async (t) => {
  const clock = fakeClock();
  const asked = deferred();
  const url = await serve(t, () => asked.resolve());
  const fetching = fetchOnce(url, { clock, signal: new AbortController().signal });
  const ended = assert.rejects(fetching, /no answer within 10 s/);
  await asked.promise;
  await clock.advance(10_000);
  await ended;
  assert.equal(clock.pending(), 0);
});

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
