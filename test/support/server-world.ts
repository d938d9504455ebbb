import { createHash } from 'node:crypto';
import { execFileSync, spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { writeKeyPair } from './key-pair.ts';
import { childrenOf } from './processes.ts';
import { IN_FOREGROUND, sshdPath } from './sshd-process.ts';
import { systemAccounts } from './system-accounts.ts';
import { removeAtExit, until } from './until.ts';

/** A server that a script may set up as root: an /etc and an empty /var of its own, only loopback, its own processes, and an sshd. */
export interface ServerWorld {
  /** For files of the test; readable by everybody, and the same path outside. */
  readonly dir: string;
  /** A key whose public half is beside it. */
  readonly key: string;
  run(command: readonly string[], input?: string): Ran;
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess;
  /** `ssh -F` on a configuration that knows this server's key and takes `key`, with nothing asked. */
  ssh(...args: string[]): Ran;
  /** What a file of this server holds; null where there is none. */
  read(path: string): string | null;
  /** All that a script could have changed, by path. */
  snapshot(): Readonly<Record<string, string>>;
  sshdLog(): string;
  /** Whether sshd listens, and has done what a signal before asked of it. */
  sshdIsReady(): boolean;
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ServerWorldOptions {
  /** Of sshd_config, below the port and the host key. */
  readonly config?: string;
  readonly dropIns?: Readonly<Record<string, string>>;
  /** Run before sshd starts. */
  readonly prepare?: string;
}

/** Of this machine's /etc: what accounts, logins, shells and programs need. All of it is copied, and compared again and again. */
const COPIED =
  /^(?:passwd|group|shadow|gshadow|shells|login\.defs|(?:add|del)user\.conf|default|skel|security|pam\.(?:d|conf)|sudo.*|nsswitch\.conf|services|protocols|ld\.so\..*|crypto-policies|localtime|timezone|os-release|debian_version|hostname|machine-id|environment|profile.*|bash.*)$/;

/** As Debian's, without PAM, whose answers depend on the machine. */
const DEBIAN = `Include /etc/ssh/sshd_config.d/*.conf
KbdInteractiveAuthentication no
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
`;

/** Needs root, and what mayBuildNetworks() checks. */
export async function startServerWorld(t: TestContext, options: ServerWorldOptions = {}): Promise<ServerWorld> {
  const dir = mkdtempSync(join(tmpdir(), 'tunneld-server-'));
  removeAtExit(dir);
  chmodSync(dir, 0o755);
  const etc = join(dir, 'etc');
  const inside = (path: string) => join(dir, path);
  const write = (path: string, text: string) => {
    mkdirSync(dirname(inside(path)), { recursive: true });
    writeFileSync(inside(path), text);
  };
  mkdirSync(etc, { mode: 0o755 });
  const wanted = readdirSync('/etc').filter((name) => COPIED.test(name));
  execFileSync('cp', ['-a', '-t', etc, '--', ...wanted.map((name) => join('/etc', name))]);
  for (const name of ['passwd', 'group', 'shadow', 'gshadow'] as const)
    writeFileSync(join(etc, name), systemAccounts(name)); // its mode stays
  mkdirSync(join(etc, 'alternatives'));
  mkdirSync(join(etc, 'ssh', 'sshd_config.d'), { recursive: true });
  mkdirSync(join(dir, 'var', 'lib'), { recursive: true });
  mkdirSync(join(dir, 'tmp'));
  // What a script leaves that is killed goes with the rest.
  const env = { ...process.env, TMPDIR: join(dir, 'tmp') };
  const key = join(dir, 'key');
  for (const file of [key, inside('/etc/ssh/ssh_host_ed25519_key')]) writeKeyPair(file, "it's a key");
  write('/etc/hosts', '127.0.0.1 localhost server\n::1 localhost\n');
  write('/etc/ssh/sshd_config', options.config ?? DEBIAN);
  for (const [name, text] of Object.entries(options.dropIns ?? {})) write(`/etc/ssh/sshd_config.d/${name}`, text);
  const [type = '', hostKey = ''] = readFileSync(inside('/etc/ssh/ssh_host_ed25519_key.pub'), 'utf8').split(' ');
  writeFileSync(join(dir, 'known_hosts'), `server ${type} ${hostKey}\nlocalhost ${type} ${hostKey}\n`);
  writeFileSync(
    join(dir, 'ssh_config'),
    `Host *\n  BatchMode yes\n  IdentitiesOnly yes\n  IdentityFile ${key}\n  UserKnownHostsFile ${dir}/known_hosts\n  ConnectTimeout 10\n  KexAlgorithms curve25519-sha256\n`,
  );

  const script = `set -e
[ ! -d /etc/alternatives ] || mount --bind /etc/alternatives ${etc}/alternatives
mount --rbind ${etc} /etc
mount --bind ${dir}/var /var
mount -t tmpfs none /run
mount -t proc none /proc
ip link set lo up
mkdir -p /run/sshd /run/fast
printf '#!/bin/sh\\nexec /usr/bin/sleep 0.02\\n' >/run/fast/sleep
chmod +x /run/fast/sleep
${options.prepare ?? ''}
echo ready
# As init does, this ends those whose parents are gone: while it waits for a child, dash and bash take notice of every other one.
while :; do sleep 60; done`;
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
  const keeper = spawn('unshare', [...namespaces, 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  keeper.stdout.on('data', (text) => (said += String(text)));
  t.after(async () => {
    const gone = new Promise((resolve) => keeper.once('close', resolve));
    keeper.kill('SIGKILL');
    await gone;
  });
  await until(() => said.includes('ready'), { what: 'the server' });
  const [init] = childrenOf(keeper.pid!);
  const enter = (command: readonly string[]) => ['-m', '-n', '-p', '-t', String(init), '--', ...command];

  const world: ServerWorld = {
    dir,
    key,
    run: (command, input = '') => {
      const { status, stdout, stderr } = spawnSync('nsenter', enter(command), {
        env,
        input,
        encoding: 'utf8',
        timeout: 120_000,
      });
      return { code: status, stdout, stderr };
    },
    spawn: (command, spawnOptions = {}) => spawn('nsenter', enter(command), { env, ...spawnOptions }),
    ssh: (...args) => world.run(['ssh', '-F', join(dir, 'ssh_config'), ...args]),
    read: (path) => (existsSync(inside(path)) ? readFileSync(inside(path), 'utf8') : null),
    snapshot: () => snapshot(dir),
    sshdLog: () => readFileSync(join(dir, 'sshd.log'), 'utf8'),
    sshdIsReady: () => childrenOf(server?.pid ?? 0).some(sleepsAndListens),
  };
  // Not a pipe: run() does not let the test read it, and sshd waits where nobody reads. -D, so that it stays in this world; it
  // writes its pid file all the same.
  const log = openSync(join(dir, 'sshd.log'), 'a');
  const server = world.spawn([sshdPath(), ...IN_FOREGROUND, '-o', 'KexAlgorithms=curve25519-sha256'], {
    stdio: ['ignore', 'ignore', log],
  });
  closeSync(log);
  return world;
}

/**
 * A signal makes a sleeping process run, and sshd closes its sockets before it sleeps again: what sleeps, without a signal that is pending, and
 * has a socket has read its files anew. Which of the sockets listen the kernel finds by a walk through all its connections.
 */
function sleepsAndListens(pid: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const pending = [...status.matchAll(/^(?:Sig|Shd)Pnd:\t(.*)$/gm)].map(([, signals]) => signals);
  return (
    /^State:\tS/m.test(status) &&
    pending.every((signals) => /^0+$/.test(signals!)) &&
    readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:'))
  );
}

/** Contents, modes and owners; not the copies that useradd and usermod leave (`passwd-`). */
function snapshot(dir: string): Record<string, string> {
  const found: Record<string, string> = {};
  const look = (path: string) => {
    if (/^\/etc\/(?:.*-|\.pwd\.lock)$/.test(path)) return;
    const here = join(dir, path);
    const stat = lstatSync(here);
    const content = stat.isFile() ? readFileSync(here) : stat.isSymbolicLink() ? readlinkSync(here) : '';
    const sum = createHash('sha256').update(content).digest('hex');
    found[path] = `${stat.mode.toString(8)} ${stat.uid} ${stat.gid} ${sum}`;
    if (stat.isDirectory()) for (const name of readdirSync(here)) look(join(path, name));
  };
  for (const path of ['/etc', '/var']) look(path);
  return found;
}
