import { execFileSync, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { writeKeyPair } from './key-pair.ts';
import { descendantsOf, signalAll } from './processes.ts';
import { IN_FOREGROUND, sshdPath } from './sshd-process.ts';
import { systemAccounts } from './system-accounts.ts';
import { removeAtExit, until } from './until.ts';

/** A small machine of its own: a network that is only loopback, with names, users and well-known ports as the test likes them. */
export interface World {
  /** For files; readable by everybody. */
  readonly dir: string;
  /** The home directory of whoever runs programs here, with `.ssh`. */
  readonly home: string;
  /** Starts a program in this world. */
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Runs one to its end, and returns its output; fails where it fails. */
  run(command: readonly string[], input?: string | Buffer): Buffer;
  /** A key that every user of this world may log in with. */
  readonly key: string;
  readonly hostKey: string;
}

export interface WorldOptions {
  /** All are this machine. */
  readonly hosts: readonly string[];
  readonly users: readonly string[];
  /** Their password. */
  readonly password: string;
  /** Ports of its sshd. */
  readonly ports: readonly number[];
  /** Ports that send back what they get. */
  readonly echoes: readonly number[];
}

/** Needs root, and what mayBuildNetworks() checks. */
export async function startWorld(t: TestContext, options: WorldOptions): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), 'tunneld-world-'));
  removeAtExit(dir);
  chmodSync(dir, 0o755);
  const makeKey = (name: string) => {
    const file = join(dir, name);
    writeKeyPair(file);
    return file;
  };
  const hostKey = makeKey('host_key');
  const key = makeKey('client_key');
  chmodSync(`${key}.pub`, 0o644);
  const home = join(dir, 'home');
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  const hash = execFileSync('perl', ['-e', 'print crypt($ARGV[0], "\\$6\\$saltsalt\\$")', options.password], {
    encoding: 'utf8',
  });
  const uids = options.users.map((user, index) => ({ user, uid: 60_100 + index }));
  const files: Readonly<Record<string, string>> = {
    hosts: `127.0.0.1 localhost ${options.hosts.join(' ')}\n::1 localhost\n`,
    passwd:
      systemAccounts('passwd') +
      uids.map(({ user, uid }) => `${user}:x:${uid}:65534::/nonexistent:/usr/sbin/nologin\n`).join(''),
    shadow: systemAccounts('shadow') + uids.map(({ user }) => `${user}:${hash}:19000:0:99999:7:::\n`).join(''),
  };
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(dir, name), text, { mode: name === 'shadow' ? 0o600 : 0o644 });
  writeFileSync(
    join(dir, 'sshd_config'),
    [
      ...options.ports.map((port) => `Port ${port}`),
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${key}.pub`,
      'PidFile none',
      'StrictModes no',
      'UsePAM no',
      'KexAlgorithms curve25519-sha256', // as startSshd does
      'PermitRootLogin yes',
      'PasswordAuthentication yes',
      // A shell that sshd starts runs the dotfiles of whoever runs the tests: none of them are here.
      `SetEnv HOME=${dir}`,
      'LogLevel VERBOSE',
      '',
    ].join('\n'),
  );
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });

  const mounts = Object.keys(files).map((name) => `mount --bind ${dir}/${name} /etc/${name}`);
  const script = ['set -e', 'ip link set lo up', ...mounts, 'echo ready', 'exec sleep infinity'].join('\n');
  const keeper = spawn('unshare', ['--mount', '--net', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  keeper.stdout.on('data', (text) => (said += String(text)));
  const children: ChildProcess[] = [];
  t.after(() => {
    for (const child of children)
      if (child.pid !== undefined) signalAll([...descendantsOf(child.pid), child.pid], 'SIGKILL');
    keeper.kill('SIGKILL');
  });
  await until(() => said.includes('ready'), { what: 'the world' });
  const inside = (command: readonly string[]) => ['--mount', '--net', '--target', String(keeper.pid), '--', ...command];
  const world: World = {
    dir,
    home,
    key,
    hostKey: readFileSync(`${hostKey}.pub`, 'utf8').trim(),
    spawn: (command, spawnOptions = {}) => {
      const child = spawn('nsenter', inside(command), spawnOptions);
      children.push(child);
      return child;
    },
    run: (command, input = '') =>
      execFileSync('nsenter', inside(command), {
        input,
        timeout: 120_000,
        maxBuffer: 2 ** 26,
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
  };
  let log = '';
  const sshd = world.spawn([sshdPath(), ...IN_FOREGROUND, '-f', join(dir, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  sshd.stderr!.on('data', (text) => (log += String(text)));
  await until(() => options.ports.every((port) => log.includes(`Server listening on 0.0.0.0 port ${port}`)), {
    what: () => `sshd; it says: ${log}`,
  });
  if (options.echoes.length > 0) await startEchoes(world, options.echoes);
  return world;
}

async function startEchoes(world: World, ports: readonly number[]): Promise<void> {
  const program = `for (const port of [${ports.join()}]) {
    net.createServer({ allowHalfOpen: true }, (s) => s.on('error', () => {}).pipe(s)).listen(port, '127.0.0.1', () => console.log('here'));
  }`;
  const child = world.spawn([process.execPath, '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout!.on('data', (text) => (said += String(text)));
  await until(() => said.split('here').length > ports.length, { what: 'the echoes' });
}
