import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { childrenOf, descendantsOf, signalAll } from './processes.ts';
import { freePort, until } from './until.ts';

export type ModernSshd = Awaited<ReturnType<typeof startModernSshd>>;

/** The sshd of the folder which test/support/trixie.sh makes, with its defaults and these lines, in its root directory. */
export async function startModernSshd(t: TestContext, moreLines: readonly string[] = []) {
  const root = process.env['TUNNELD_BOX_ROOT'] ?? assert.fail('TUNNELD_BOX_ROOT is not set: npm run test:trixie');
  const dir = mkdtempSync(join(root, 'tmp', 'tunneld-sshd-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const makeKey = (name: string) => {
    const file = join(dir, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
    return file;
  };
  const [hostKey, clientKey, wrongKey, otherHostKey] = ['host', 'client', 'wrong', 'other'].map(makeKey) as [
    string,
    string,
    string,
    string,
  ];
  const inside = (file: string) => file.slice(root.length);
  const port = await freePort();
  const config = join(dir, 'sshd_config');
  const lines = [
    ...moreLines, // the first of several counts
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${inside(hostKey)}`,
    `AuthorizedKeysFile ${inside(clientKey)}.pub`,
    'StrictModes no',
    'PidFile none',
    'LogLevel VERBOSE',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  mkdirSync(join(root, 'run/sshd'), { recursive: true });
  const script = `mount --bind /dev "$1/dev"; mount -t proc proc "$1/proc"; exec chroot "$1" /usr/sbin/sshd -D -e -f "$2"`;
  const sshd: ChildProcess = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', root, inside(config)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const pid = sshd.pid ?? 0;
  let log = '';
  sshd.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  t.after(() => signalAll([...descendantsOf(pid), pid], 'SIGKILL'));
  await until(() => log.includes('Server listening'), { what: () => `sshd: ${log}` });
  const publicKey = (file: string) => readFileSync(`${file}.pub`, 'utf8').trim();
  const knownHostsLine = (host = '127.0.0.1', at = port) => `[${host}]:${at} ${publicKey(hostKey)}\n`;
  const wrongKnownHosts = join(dir, 'wrong_known_hosts');
  writeFileSync(wrongKnownHosts, `[127.0.0.1]:${port} ${publicKey(otherHostKey)}\n`);
  const failToLogIn = () => {
    const options = ['-F', 'none', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'IdentitiesOnly=yes'];
    const args = [...options, '-o', 'UserKnownHostsFile=/dev/null', '-p', String(port), '-i', wrongKey];
    try {
      execFileSync('ssh', [...args, 'root@127.0.0.1'], { stdio: 'ignore' });
    } catch {
      return;
    }
    assert.fail('a wrong key let in');
  };
  return {
    dir,
    port,
    user: 'root',
    clientKey,
    wrongKey,
    wrongKnownHosts,
    knownHostsLine,
    log: () => log,
    killSessions: () =>
      signalAll(
        childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]),
        'SIGKILL',
      ),
    failToLogIn,
  };
}
