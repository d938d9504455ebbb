import { execFileSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { childrenOf, descendantsOf, signalAll } from '../support/processes.ts';
import { IN_FOREGROUND, sshdPath } from '../support/sshd-process.ts';
import { until } from '../support/until.ts';
import type { LabNetwork } from './network.ts';

/** A stock sshd on the lab's server, and what a client needs to log in to it. */
export interface LabServer {
  readonly dir: string;
  readonly clientKey: string;
  readonly knownHosts: string;
  readonly user: string;
  start(): Promise<void>;
  /** Ends listener and sessions the hard way, in this order, each so many milliseconds after the one before. */
  kill(gapMs?: number): Promise<void>;
  /** The process of each connection. */
  sessions(): readonly number[];
  /** The process of the listener. */
  pid(): number;
  /** Ends every session the hard way; the listener stays. */
  killSessions(): void;
  log(): string;
  destroy(): Promise<void>;
}

export const SSH_PORT = 22;

/** `root` is the folder of another system (test/support/trixie.sh), whose sshd it is then. */
export async function startServer(
  network: LabNetwork,
  options: readonly string[] = [],
  root: string | null = null,
): Promise<LabServer> {
  const dir = mkdtempSync(join(root === null ? tmpdir() : join(root, 'tmp'), 'tunneld-lab-'));
  const inside = (file: string) => file.slice(root?.length ?? 0);
  const makeKey = (name: string) => {
    const file = join(dir, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
    return file;
  };
  const hostKey = makeKey('host_key');
  const clientKey = makeKey('client_key');
  const knownHosts = join(dir, 'known_hosts');
  const publicKey = readFileSync(`${hostKey}.pub`, 'utf8').trim();
  writeFileSync(knownHosts, `${network.serverAddress} ${publicKey}\n`);
  const config = join(dir, 'sshd_config');
  const lines = [
    ...options,
    `Port ${SSH_PORT}`,
    `HostKey ${inside(hostKey)}`,
    'PidFile none',
    `AuthorizedKeysFile ${inside(clientKey)}.pub`,
    'StrictModes no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'LogLevel VERBOSE',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  mkdirSync(join(root ?? '/', 'run/sshd'), { recursive: true, mode: 0o755 });
  const script =
    'mount --bind /dev "$1/dev"; mount -t proc proc "$1/proc"; exec chroot "$1" /usr/sbin/sshd -D -e -f "$2"';
  const command =
    root === null
      ? [sshdPath(), ...IN_FOREGROUND, '-f', config]
      : ['unshare', '--mount', 'sh', '-c', script, 'sh', root, inside(config)];

  let log = '';
  let sshd: ChildProcess | null = null;
  const pid = () => sshd?.pid ?? 0;
  const start = async () => {
    const seen = log.length;
    sshd = network.spawn('server', command);
    sshd.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    await until(() => log.includes('Server listening', seen), { what: () => `sshd: ${log}` });
  };
  const kill = async (gapMs = 0) => {
    if (sshd === null || sshd.exitCode !== null || sshd.signalCode !== null) return;
    const exited = new Promise((resolve) => sshd?.once('exit', resolve));
    for (const one of [pid(), ...descendantsOf(pid())]) {
      signalAll([one], 'SIGKILL');
      if (gapMs > 0) await wait(gapMs);
    }
    await exited;
  };
  await start();
  return {
    dir,
    clientKey,
    knownHosts,
    user: userInfo().username,
    start,
    kill,
    sessions: () => childrenOf(pid()),
    pid,
    killSessions: () => signalAll(descendantsOf(pid()), 'SIGKILL'),
    log: () => log,
    destroy: async () => {
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
