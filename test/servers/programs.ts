import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort, tempDir } from '../support/until.ts';
import { makeKey, startServer, type OtherServer } from '../support/other-servers.ts';

export async function startGo(t: TestContext): Promise<OtherServer> {
  const program = join(await tempDir(t), 'go-server');
  // Debian keeps the sources of its libraries there.
  const env = {
    ...process.env,
    GOPATH: '/usr/share/gocode',
    GO111MODULE: 'off',
    GOCACHE: await tempDir(t),
    GOFLAGS: '',
  };
  execFileSync('go', ['build', '-o', program, source('go-server.go')], { env, stdio: 'pipe' });
  return await startKeyServer(t, program, []);
}

export async function startLibssh(t: TestContext): Promise<OtherServer> {
  const program = join(await tempDir(t), 'libssh-server');
  execFileSync('cc', ['-O1', '-o', program, source('libssh-server.c'), '-lssh'], { stdio: 'pipe' });
  return await startKeyServer(t, program, []);
}

export async function startParamiko(t: TestContext): Promise<OtherServer> {
  return await startKeyServer(t, '/usr/bin/python3', ['-W', 'ignore', source('paramiko-server.py')]);
}

/** A program that is given a port and the file of a host key, and lets everybody in. */
async function startKeyServer(t: TestContext, program: string, args: readonly string[]): Promise<OtherServer> {
  const dir = await tempDir(t);
  const { clientKey } = makeKey(dir);
  const hostKey = join(dir, 'host_key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', hostKey]);
  const port = await freePort();
  const knownHostsLine = () => `[127.0.0.1]:${port} ${readFileSync(`${hostKey}.pub`, 'utf8')}`;
  const server = await startServer(t, port, program, [...args, `${port}`, hostKey]);
  return { dir, port, user: 'anybody', clientKey, knownHostsLine, ...server };
}

function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
