import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ran, ServerWorld } from '../../support/server-world.ts';
import { tunneld } from '../../support/tunneld.ts';
import { until } from '../../support/until.ts';

export const USER = 'limited';

/** What a command of the built program prints for a tunnel called backup; `forwards` is YAML of the keys of its forwards. */
export async function printed(
  world: Pick<ServerWorld, 'dir' | 'key'>,
  command: readonly [string, ...string[]],
  forwards = 'remoteForward: 8080:localhost:2022',
  user = USER,
  identityFiles: readonly string[] = [world.key],
): Promise<string> {
  const file = join(world.dir, 'config.yaml');
  writeFileSync(
    file,
    `tunnels: { backup: { host: server, user: ${user}, identityFile: [${identityFiles.join(', ')}], sshConfig: none, userKnownHostsFile: ${world.dir}/known_hosts, ${forwards} } }
network: { ping: [] }
control: { socket: ${world.dir}/control.sock }
stateDirectory: ${world.dir}
`,
  );
  const keys = identityFiles.map((path) => (existsSync(`${path}.pub`) ? readFileSync(`${path}.pub`, 'utf8') : ''));
  const asked = [readFileSync(file, 'utf8'), ...command, ...keys].join('\n');
  const before = known.get(asked);
  if (before !== undefined) return before;
  const { code, stdout, stderr } = await tunneld([command[0], 'backup', ...command.slice(1), '--config', file]);
  if (code !== 0) throw new Error(`${command.join(' ')}: exit ${code}: ${stderr}`);
  known.set(asked, stdout);
  return stdout;
}

/** What was printed for the same files before. */
const known = new Map<string, string>();

/** Runs a script as the README says, but for the second that it gives sshd to read its files anew: untilListening() waits for that. */
export function runScript(world: ServerWorld, script: string): Ran {
  return world.run(['sh', '-c', 'PATH=/run/fast:$PATH exec sh'], script);
}

/** Waits until sshd listens, after its start or its reload. */
export async function untilListening(world: ServerWorld): Promise<void> {
  await until(() => world.sshdIsReady(), { what: () => `sshd; it says: ${world.sshdLog()}` });
}

/** Has sshd read its files anew, and waits until it has. */
export async function reload(world: ServerWorld): Promise<void> {
  const started = () => world.sshdLog().match(/Server listening/g)?.length ?? 0;
  const before = started();
  world.run(['sh', '-c', 'kill -HUP "$(cat /run/sshd.pid)"']);
  await until(() => started() > before, { what: 'sshd with the new rules' });
  await untilListening(world);
}

/** Sets the server up, and fails where that does not work. */
export async function setUp(world: ServerWorld, options: readonly string[] = [], forwards?: string): Promise<Ran> {
  const ran = runScript(world, await printed(world, ['server-setup', ...options], forwards));
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  await untilListening(world);
  return ran;
}

/** Undoes it, and fails where that does not work. */
export async function undo(world: ServerWorld): Promise<Ran> {
  const ran = runScript(world, await printed(world, ['server-setup', '--undo']));
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  await untilListening(world);
  return ran;
}

/** What a login is for: ssh's `-R` forward, given back as soon as it was granted. */
export function forwards(world: ServerWorld, forward: string, user = USER): 'granted' | 'refused' {
  // With -f and this option ssh goes to the background when every forward was granted, and ends otherwise.
  const master = `${world.dir}/master`;
  const ssh = ['-M', '-S', master, '-f', '-N', '-o', 'ExitOnForwardFailure=yes', '-R', forward, `${user}@server`];
  const { code, stderr } = world.run([
    'sh',
    '-c',
    'ssh "$@" >/dev/null 2>"$0"; code=$?; cat "$0" >&2; exit $code',
    `${world.dir}/ssh.err`,
    '-F',
    `${world.dir}/ssh_config`,
    ...ssh,
  ]);
  if (code === 0) {
    world.ssh('-S', master, '-O', 'exit', 'server');
    return 'granted';
  }
  assert.match(stderr, /remote port forwarding failed|remote forwarding failed/i);
  return 'refused';
}

/** A laptop in this world, which is the home directory of its root: what is pasted there is run by sh; `ssh` asks nothing. */
export function startLaptop(
  world: ServerWorld,
  identityFile = world.key,
): {
  readonly home: string;
  paste(text: string): Ran;
  ssh(...args: string[]): Ran;
} {
  const home = join(world.dir, 'laptop');
  mkdirSync(join(home, '.ssh'), { recursive: true });
  const own = `Host *\n  BatchMode yes\n  IdentityFile ${identityFile}\n  IdentityFile ${world.key}\n  StrictHostKeyChecking yes\n  KexAlgorithms curve25519-sha256\n`;
  writeFileSync(join(home, '.ssh/config'), own);
  // ssh takes the home directory from passwd(5).
  const mounted = world.run(['sh', '-c', 'mount --bind "$0" "$(getent passwd root | cut -d : -f 6)"', home]);
  assert.equal(mounted.code, 0, mounted.stderr);
  return {
    home,
    paste: (text) => world.run(['env', `HOME=${home}`, 'sh'], text),
    ssh: (...args) => world.run(['ssh', ...args]),
  };
}

/** Whether a login may connect to there from the server; something must listen. */
export function connects(world: ServerWorld, to: string, user = USER): 'connected' | 'prohibited' {
  const { stdout, stderr } = world.run(
    ['ssh', '-F', `${world.dir}/ssh_config`, '-W', to, `${user}@server`],
    'SSH-2.0-test\r\n',
  );
  if (stdout.startsWith('SSH-2.0-')) return 'connected';
  assert.match(stderr, /administratively prohibited/);
  return 'prohibited';
}
