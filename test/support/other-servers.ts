import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { descendantsOf, signalAll } from './processes.ts';
import { systemAccounts } from './system-accounts.ts';
import { freePort, tempDir, until } from './until.ts';
import { visit } from './visit.ts';

/** An SSH server that is not OpenSSH's. */
export interface OtherServer {
  readonly dir: string;
  readonly port: number;
  readonly user: string;
  readonly clientKey: string;
  knownHostsLine(host?: string, port?: number): string;
  /** All that it said. */
  log(): string;
  killSessions(): void;
  restart(): Promise<void>;
}

/** Logs in its own user, whose home it is told by a password database of its own. */
export async function startDropbear(t: TestContext, flags = ''): Promise<OtherServer> {
  const dir = await tempDir(t);
  chmodSync(dir, 0o755);
  const { clientKey, publicKey } = makeKey(dir);
  const home = join(dir, 'home');
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o755 });
  writeFileSync(join(home, '.ssh/authorized_keys'), `${publicKey}\n`);
  writeFileSync(join(dir, 'passwd'), `${systemAccounts('passwd')}bear:x:60099:65534::${home}:/bin/sh\n`, {
    mode: 0o644,
  });
  const keyFile = join(dir, 'host_key');
  execFileSync('dropbearkey', ['-t', 'ed25519', '-f', keyFile], { stdio: 'pipe' });
  const shown = execFileSync('dropbearkey', ['-y', '-f', keyFile], { encoding: 'utf8' });
  const hostKey = /^ssh-ed25519 \S+/m.exec(shown)?.[0] ?? '';
  const port = await freePort();
  const script = `mount --bind ${dir}/passwd /etc/passwd && exec dropbear -F -E -p 127.0.0.1:${port} -r ${keyFile} ${flags}`;
  const server = await startServer(t, port, 'unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script]);
  return { dir, port, user: 'bear', clientKey, knownHostsLine: () => `[127.0.0.1]:${port} ${hostKey}\n`, ...server };
}

export async function startAsyncssh(t: TestContext, rekeyBytes = 1 << 30): Promise<OtherServer> {
  const dir = await tempDir(t);
  const { clientKey } = makeKey(dir);
  const hostKeyFile = join(dir, 'host_key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', hostKeyFile]);
  const program = fileURLToPath(new URL('asyncssh-server.py', import.meta.url));
  const startAt = async (tries: number): Promise<readonly [number, Awaited<ReturnType<typeof startServer>>]> => {
    const port = await freePort();
    const args = [program, `${port}`, hostKeyFile, `${clientKey}.pub`, `${rekeyBytes}`];
    try {
      return [port, await startServer(t, port, '/usr/bin/python3', args)];
    } catch (error) {
      if (!(error instanceof PortInUseError) || tries === 0) throw error;
      return await startAt(tries - 1);
    }
  };
  const [port, server] = await startAt(5);
  return {
    dir,
    port,
    user: 'anybody',
    clientKey,
    knownHostsLine: () => `[127.0.0.1]:${port} ${readFileSync(`${hostKeyFile}.pub`, 'utf8')}`,
    ...server,
  };
}

export function makeKey(dir: string): { readonly clientKey: string; readonly publicKey: string } {
  const clientKey = join(dir, 'client_key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', clientKey]);
  return { clientKey, publicKey: readFileSync(`${clientKey}.pub`, 'utf8').trim() };
}

/** Between the look at a free port and the start of a server another program has taken it. */
class PortInUseError extends Error {}

export async function startServer(
  t: TestContext,
  port: number,
  program: string,
  args: readonly string[],
): Promise<Pick<OtherServer, 'log' | 'killSessions' | 'restart'>> {
  let child: ChildProcess;
  let said = '';
  const launch = () => {
    child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (said += String(text)));
  };
  const start = async () => {
    launch();
    const seen = await until(
      async () => {
        if (child.exitCode !== null && /address already in use/i.test(said)) return 'port in use';
        return (await visit(port, '')).startsWith('SSH-2.0-') && 'ready';
      },
      { what: () => `${program}: ${said}` },
    );
    if (seen === 'port in use') throw new PortInUseError(said);
  };
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    signalAll([...descendantsOf(child.pid!), child.pid!], 'SIGKILL');
    await exited;
  };
  t.after(end);
  await start();
  return {
    log: () => said,
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
