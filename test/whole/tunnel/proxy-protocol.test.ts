import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import type { ForwardSpec, ProxyProtocol } from '../../../src/model/spec.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

const tcp = (port: number, host = '127.0.0.1'): Endpoint => ({ type: 'tcp', host, port });
const unix = (path: string): Endpoint => ({ type: 'unix', path });
const GET = 'GET / HTTP/1.0\r\n\r\n';

test("tells nginx, HAProxy and an echo each visitor's address when their forwards have proxyProtocol", async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const dir = await tempDir(t);
  const [nginx, haproxy] = [await startNginx(t, dir), await startHaproxy(t, dir)];
  const listener = join(dir, 'listener.sock');
  const ports = await Promise.all(Array.from({ length: 5 }, freePort));
  const forward = (listen: Endpoint, target: Endpoint, proxyProtocol: ProxyProtocol): ForwardSpec => ({
    kind: 'remote',
    listen,
    target,
    proxyProtocol,
  });
  const [a, b, c, d, e] = ports as [number, number, number, number, number];
  const tunnel = startTunnel(t, {
    ...specFor(sshd, [[a, 1]]),
    forwards: [
      forward(tcp(a, 'localhost'), nginx, 'v1'),
      forward(tcp(b, 'localhost'), nginx, 'v2'),
      forward(tcp(c, '::1'), haproxy, 'v1'),
      forward(tcp(d, 'localhost'), haproxy, 'v2'),
      forward(tcp(e, 'localhost'), tcp(echo.port), 'v1'),
      forward(unix(listener), tcp(echo.port), 'v1'),
    ],
  });
  await tunnel.untilPhase('up');
  assert.deepEqual([...new Set(tunnel.state().forwards.map(({ verified }) => verified))], ['yes']);

  for (const [port, host, from] of [
    [a, '127.0.0.1', '127.0.0.5'],
    [b, '127.0.0.1', '127.0.0.6'],
    [c, '::1', '::1'],
    [d, '127.0.0.1', '127.0.0.7'],
  ] as const) {
    const visitor = await ask({ port, host, localAddress: from }, GET);
    assert.equal(visitor.answer.split('\r\n\r\n')[1], `${from} ${visitor.port} ${host} ${port}`, `port ${port}`);
  }
  // The echo ends only after the visitor has: its half of the connection stays open as without the header.
  const visitor = await ask({ port: e, host: '127.0.0.1' }, 'hello');
  assert.equal(visitor.answer, `PROXY TCP4 127.0.0.1 127.0.0.1 ${visitor.port} ${e}\r\nhello`);
  assert.equal((await ask({ path: listener }, 'hello')).answer, 'PROXY UNKNOWN\r\nhello');
});

/** Says something, ends, and returns the answer and the port it was said from. */
async function ask(
  to: { readonly port: number; readonly host: string; readonly localAddress?: string } | { readonly path: string },
  words: string,
): Promise<{ answer: string; port: number | undefined }> {
  const socket = connect({ ...to, allowHalfOpen: true });
  socket.end(words);
  let port: number | undefined;
  socket.once('connect', () => (port = socket.localPort));
  return { answer: await text(socket), port };
}

/** Answers with the addresses and ports of the header. */
async function startNginx(t: TestContext, dir: string): Promise<Endpoint> {
  const path = join(dir, 'nginx.sock');
  const config = join(dir, 'nginx.conf');
  const names = ['addr', 'port', 'server_addr', 'server_port'].map((name) => `$proxy_protocol_${name}`);
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${dir}/nginx.pid; error_log stderr; events {}
    http { access_log off; ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}/${kind};`).join(' ')}
      server { listen unix:${path} proxy_protocol; location / { default_type text/plain; return 200 "${names.join(' ')}"; } } }`,
  );
  await started(t, ['nginx', '-e', 'stderr', '-c', config], { path });
  return unix(path);
}

async function startHaproxy(t: TestContext, dir: string): Promise<Endpoint> {
  const port = await freePort();
  const config = join(dir, 'haproxy.cfg');
  writeFileSync(
    config,
    `defaults
      mode http
      timeout client 60s
      timeout connect 60s
      timeout server 60s
    frontend front
      bind 127.0.0.1:${port} accept-proxy
      http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
`,
  );
  await started(t, ['haproxy', '-db', '-f', config], { port, host: '127.0.0.1' });
  return tcp(port);
}

async function started(
  t: TestContext,
  [program, ...args]: readonly string[],
  to: { readonly path: string } | { readonly port: number; readonly host: string },
): Promise<void> {
  const child = spawn(program!, args, { env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` } });
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.on('data', (chunk) => (log += String(chunk)));
  const answers = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ ...to }, () => resolve(socket.destroy() !== null));
      socket.on('error', () => resolve(false));
    });
  await until(answers, { what: () => `${program}; it says: ${log}` });
}
