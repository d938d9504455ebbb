import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
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
