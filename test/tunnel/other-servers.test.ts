import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { auditOf } from '../audit/audit-sshd.ts';
import { mayBuildNetworks } from '../lab/lab-test.ts';
import { startEcho } from '../support/echo.ts';
import { descendantsOf, signalAll } from '../support/processes.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort, tempDir, until } from '../support/until.ts';
import { socks } from './socks-client.ts';
import { visit } from './visit.ts';

/** An SSH server that is not OpenSSH's. */
interface OtherServer {
  readonly dir: string;
  readonly port: number;
  readonly user: string;
  readonly clientKey: string;
  readonly hostKey: string;
  killSessions(): void;
  restart(): Promise<void>;
}

describe('other servers', { concurrency: 2 }, () => {
  test('Dropbear: up, data both ways, local and dynamic, and back after every loss', async (t) => {
    if (!mayBuildNetworks(t)) return;
    await useful(t, await startDropbear(t));
  });

  test('AsyncSSH: the same', async (t) => {
    await useful(t, await startAsyncssh(t));
  });
});

async function useful(t: TestContext, server: OtherServer): Promise<void> {
  const echo = await startEcho();
  t.after(() => echo.close());
  const [remote, local, dynamic] = [await freePort(), await freePort(), await freePort()];
  const knownHostsLine = () => `[127.0.0.1]:${server.port} ${server.hostKey}\n`;
  const base = specFor({ ...server, knownHostsLine }, [[remote, echo.port]]);
  const target = { type: 'tcp', host: '127.0.0.1', port: echo.port } as const;
  const tunnel = startTunnel(t, {
    ...base,
    forwards: [
      ...base.forwards,
      { kind: 'local', listen: { type: 'tcp', host: '127.0.0.1', port: local }, target },
      { kind: 'dynamic', listen: { type: 'tcp', host: '127.0.0.1', port: dynamic }, target: { type: 'socks' } },
    ],
    serverAliveIntervalMs: 2000,
    serverAliveCountMax: 2,
  });
  const works = async (words: string) => {
    await tunnel.untilPhase('up', 20_000);
    assert.equal(await visit(remote, words), words);
    assert.equal(await visit(local, words), words);
  };
  await works('hello');
  await works('x'.repeat(5_000_000));
  const { code, socket } = await socks(dynamic, 5, 'localhost', echo.port);
  assert.equal(code, 0);
  socket.destroy();
  await Promise.all(
    Array.from({ length: 30 }, async (_, index) => assert.equal(await visit(remote, `${index}`), `${index}`)),
  );

  const ups = () => tunnel.phases.filter((phase) => phase === 'up').length;
  const lose = async (loss: () => unknown) => {
    const before = ups();
    await loss();
    await until(() => ups() > before, { what: 'the tunnel again', timeoutMs: 20_000 });
    await works('again');
  };
  await lose(server.killSessions);
  await lose(server.restart);
  assert.deepEqual(
    tunnel.lines.filter((line) => line['code'] === 'internal'),
    [],
  );
  await tunnel.stop();
  const report = await auditOf(base);
  assert.equal(report.failure, undefined);
  assert.ok(report.findings.some(({ hole, verdict }) => hole === 'connect-server' && verdict === 'open'));
  await assert.rejects(visit(remote, 'anybody?'), { code: 'ECONNREFUSED' });
}

/** Logs in its own user, whose home it is told by a password database of its own. */
async function startDropbear(t: TestContext): Promise<OtherServer> {
  const dir = await tempDir(t);
  chmodSync(dir, 0o755);
  const { clientKey, publicKey } = makeKey(dir);
  const home = join(dir, 'home');
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o755 });
  writeFileSync(join(home, '.ssh/authorized_keys'), `${publicKey}\n`);
  writeFileSync(join(dir, 'passwd'), `${readFileSync('/etc/passwd', 'utf8')}bear:x:60099:65534::${home}:/bin/sh\n`, {
    mode: 0o644,
  });
  const keyFile = join(dir, 'host_key');
  execFileSync('dropbearkey', ['-t', 'ed25519', '-f', keyFile], { stdio: 'pipe' });
  const shown = execFileSync('dropbearkey', ['-y', '-f', keyFile], { encoding: 'utf8' });
  const hostKey = /^ssh-ed25519 \S+/m.exec(shown)?.[0] ?? '';
  const port = await freePort();
  const script = `mount --bind ${dir}/passwd /etc/passwd && exec dropbear -F -E -p 127.0.0.1:${port} -r ${keyFile}`;
  const server = await startServer(t, port, 'unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script]);
  return { dir, port, user: 'bear', clientKey, hostKey, ...server };
}

async function startAsyncssh(t: TestContext): Promise<OtherServer> {
  const dir = await tempDir(t);
  const { clientKey } = makeKey(dir);
  const hostKeyFile = join(dir, 'host_key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', hostKeyFile]);
  const port = await freePort();
  const program = fileURLToPath(new URL('asyncssh-server.py', import.meta.url));
  const server = await startServer(t, port, '/usr/bin/python3', [program, `${port}`, hostKeyFile, `${clientKey}.pub`]);
  return {
    dir,
    port,
    user: 'anybody',
    clientKey,
    hostKey: readFileSync(`${hostKeyFile}.pub`, 'utf8').trim(),
    ...server,
  };
}

function makeKey(dir: string): { readonly clientKey: string; readonly publicKey: string } {
  const clientKey = join(dir, 'client_key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', clientKey]);
  return { clientKey, publicKey: readFileSync(`${clientKey}.pub`, 'utf8').trim() };
}

async function startServer(
  t: TestContext,
  port: number,
  program: string,
  args: readonly string[],
): Promise<Pick<OtherServer, 'killSessions' | 'restart'>> {
  let child: ChildProcess;
  let said = '';
  const start = async () => {
    child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (said += String(text)));
    await until(async () => (await visit(port, '')).startsWith('SSH-2.0-'), {
      what: () => `${program}: ${said}`,
      timeoutMs: 20_000,
    });
  };
  const end = async () => {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    signalAll([...descendantsOf(child.pid!), child.pid!], 'SIGKILL');
    await exited;
  };
  t.after(end);
  await start();
  return {
    killSessions: () => {
      const sessions = descendantsOf(child.pid!);
      // One that serves all in one process ends its connections when it is told to.
      if (sessions.length === 0) signalAll([child.pid!], 'SIGUSR1');
      else signalAll(sessions, 'SIGKILL');
    },
    restart: async () => {
      await end();
      await start();
    },
  };
}
