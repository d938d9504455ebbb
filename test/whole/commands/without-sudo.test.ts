import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startSshd } from '../../support/sshd.ts';
import { NODE_FLAGS, readableCli } from '../../support/tunneld.ts';
import { tempDir } from '../../support/until.ts';

const isRoot = process.getuid?.() === 0;

/** Runs a command as somebody to whom nothing in a directory of mode 0700 of ours is open. */
async function asStranger(t: TestContext, dir: string, ...args: readonly string[]) {
  const cli = await readableCli(t);
  if (!isRoot) chmodSync(dir, 0);
  const child = spawn(process.execPath, [...NODE_FLAGS, cli, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
    ...(isRoot ? { uid: 54_321, gid: 54_321 } : {}),
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (data: string) => (text += data));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  chmodSync(dir, 0o700);
  return { code, text };
}

/** A configuration that all may read, of a daemon that not all may ask. */
async function closedDaemon(t: TestContext) {
  const dir = await tempDir(t);
  chmodSync(dir, 0o755);
  const closed = join(dir, 'run');
  mkdirSync(closed, { mode: 0o700 });
  const server = createServer().listen(join(closed, 'control.sock'));
  t.after(() => server.close());
  const config = join(dir, 'config.yaml');
  writeFileSync(
    config,
    `tunnels: { a: { host: 127.0.0.1, port: 9, remoteForward: "8080:localhost:22" } }
network: { ping: [] }
control: { socket: ${closed}/control.sock }
`,
  );
  return { closed, config };
}

test('does not call a daemon down when this user may not ask it, and names sudo as the cure', async (t) => {
  const { closed, config } = await closedDaemon(t);
  const { code, text } = await asStranger(t, closed, 'status', '--config', config);
  assert.equal(code, 3);
  assert.match(text, /this user may not connect to the daemon: use sudo.*control\.sock: permission denied/);
  assert.doesNotMatch(text, /not running/);
  const doctor = await asStranger(t, closed, 'doctor', '--config', config);
  assert.match(doctor.text, /the daemon runs \(this user may not connect to it\)/);
  assert.doesNotMatch(doctor.text, /no daemon runs|restart/);
});

test('advises nobody to give files away when only the user of the daemon may read them', async (t) => {
  const { closed, config } = await closedDaemon(t);
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const place = isRoot ? dirname(config) : closed;
  const [key, known] = [join(place, 'key'), join(place, 'closed_hosts')];
  copyFileSync(sshd.clientKey, key);
  writeFileSync(known, sshd.knownHostsLine(), { mode: 0o600 });
  const shown = join(dirname(config), 'known_hosts');
  writeFileSync(shown, sshd.knownHostsLine());
  const tunnel = (knownHosts: string) =>
    `{ host: 127.0.0.1, port: ${sshd.port}, identityFile: ${key}, userKnownHostsFile: ${knownHosts}, globalKnownHostsFile: none, remoteForward: "0:localhost:22" }`;
  const text = readFileSync(config, 'utf8').replace(
    /tunnels: .*/,
    `tunnels: { a: ${tunnel(known)}, b: ${tunnel(shown)} }`,
  );
  writeFileSync(config, text);
  for (const command of [['doctor'], ['doctor', '--fix'], ['trust', 'a'], ['audit', 'b', '--yes']]) {
    const said = await asStranger(t, closed, ...command, '--config', config);
    assert.match(
      said.text,
      command[0] === 'doctor' ? /→ sudo tunneld doctor\n/ : /run this (command )?with sudo/i,
      command.join(' '),
    );
    assert.doesNotMatch(said.text, /chown|owner|--fix|belongs/, command.join(' '));
  }
  chmodSync(config, 0o600);
  if (isRoot)
    assert.match(
      (await asStranger(t, closed, 'doctor', '--config', config)).text,
      /run this with sudo.*\n.*→ sudo tunneld doctor\n/,
    );
});

test('advises nobody to give a configuration away when this user may not read it', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'config.yaml');
  writeFileSync(file, 'tunnels: {}\n');
  const { code, text } = await asStranger(t, dir, 'check', '--config', file);
  assert.equal(code, 78);
  assert.match(text, /permission denied: run this with sudo/);
  assert.doesNotMatch(text, /owner|mode|chmod|chown/);
});
