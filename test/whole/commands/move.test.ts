import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { listen } from '../../support/listen.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { connects, freePort, until } from '../../support/until.ts';
import { runScript, untilListening } from '../server-setup/fixture.ts';

test('runs a tunnel at both servers, and leaves the old one when that is confirmed', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const prepare = 'useradd --create-home --home-dir /var/owner --shell /bin/sh owner';
  const [old, world] = await Promise.all([startSshd(), startServerWorld(t, { prepare })]);
  t.after(() => old.stop());
  await untilListening(world);
  const port = await relayTo(world, t);
  const yaml = tunnelYaml(old, 'relay', `${await freePort()}:localhost:22`);
  const daemon = await startDaemonProcess(t, `tunnels:\n${yaml}`);
  const isUpAt = (wanted: number) =>
    daemon.untilStatus(
      ({ tunnels: [one, ...others], trial }) =>
        others.length === 0 &&
        trial === undefined &&
        one?.phase === 'up' &&
        one.server.endsWith(`:${wanted}`) &&
        one.previous === undefined,
      `up at ${wanted} alone`,
    );
  await isUpAt(old.port);
  const before = readFileSync(daemon.configFile, 'utf8');
  const [, given = ''] = world.run(['ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub']).stdout.split(' ');
  const env = { HOME: letOwnerIn(world), SSH_AUTH_SOCK: '', SUDO_USER: '' };
  const move = (server: string, ...args: string[]) =>
    tunneld(['move', 'relay', server, ...args, '--config', daemon.configFile], { cwd: daemon.dir, env });

  const wrong = await move(`127.0.0.1:${await freePort()}`, '--host-key-fingerprint', given);
  assert.equal(wrong.code, 1, wrong.stderr);
  const next = `limited@127.0.0.1:${port}`;
  const early = await move(next, '--no-wait', '--host-key-fingerprint', given);
  assert.equal(early.code, 1, early.stderr);
  assert.match(early.stderr, /when it has run there, run this again/);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before);

  assert.equal(runScript(world, early.stdout).code, 0);
  await untilListening(world);
  const first = await move(next);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /both are up: relay at .*, and relay-next at /);
  assert.match(first.stderr, /run this again with --yes to switch/);
  assert.deepEqual(
    (await daemon.status()).tunnels.map(({ name, phase, server }) => [name, phase, Number(server.split(':')[1])]),
    [
      ['relay', 'up', old.port],
      ['relay-next', 'up', port],
    ],
  );
  assert.equal(existsSync(join(daemon.dir, 'relay-undo-127.0.0.1.sh')), false);

  const second = await move(next, '--yes');
  assert.equal(second.code, 0, second.stderr);
  await isUpAt(port);
  assert.equal(
    readFileSync(daemon.configFile, 'utf8'),
    before.replace(`port: ${old.port}`, `port: ${port}`).replace(`user: ${old.user}`, 'user: limited'),
  );
  const [, undo = ''] = /left on \S+: the user \S+ and its key; (\S+), run there as root/.exec(second.stderr) ?? [];
  assert.match(readFileSync(undo, 'utf8'), /^# Undoes `tunneld server-setup` for the tunnel relay/m);
  assert.match((await move(next)).stderr, /relay is at \S+ already/);

  // And back, with a listener on this device, which cannot be held twice.
  const atNext = readFileSync(daemon.configFile, 'utf8');
  const local = `    localForward: ${await freePort()}:localhost:1\n`;
  writeFileSync(daemon.configFile, readFileSync(daemon.configFile, 'utf8').replace('    port:', `${local}    port:`));
  const back = await move(`${old.user}@127.0.0.1:${old.port}`, '--yes');
  assert.equal(back.code, 0, back.stderr);
  assert.match(back.stderr, /which two tunnels cannot share/);
  await isUpAt(old.port);
  const [, left = ''] = /left on \S+: the user limited and its key; (\S+), run there as root/.exec(back.stderr) ?? [];
  assert.equal(runScript(world, readFileSync(left, 'utf8')).code, 0);
  await untilListening(world);
  assert.equal(world.read(KEY_OF_LIMITED), null);

  // One command for all of it, over the owner's login. Where that does not get in, nothing is changed.
  const rest = readFileSync(daemon.configFile, 'utf8').replace(local, '');
  writeFileSync(daemon.configFile, rest);
  const stranger = await move(next, '--via', `stranger@127.0.0.1:${port}`, '--yes');
  assert.match(stranger.stderr, /your login stranger@127\.0\.0\.1:\d+: auth-rejected: .*\n.*name your own login/);
  assert.deepEqual([stranger.code, readFileSync(daemon.configFile, 'utf8')], [1, rest]);
  const whole = await move(next, '--via', `owner@127.0.0.1:${port}`, '--yes');
  assert.equal(whole.code, 0, whole.stderr);
  assert.match(whole.stderr, /server: limited is set up[^]*both are up: [^]*relay is at limited@\S+ now[^]*left on /);
  await isUpAt(port);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), atNext);
  assert.ok(world.read(KEY_OF_LIMITED)?.includes('permitlisten='));
});

const KEY_OF_LIMITED = '/etc/ssh/authorized_keys.d/limited';

/** The administrator of the server needs no password there; the home directory from which they log in. */
function letOwnerIn(world: ServerWorld): string {
  const home = join(world.dir, 'home');
  const script = `usermod --password '*' owner
echo 'owner ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/owner
mkdir -p ${home}/.ssh /var/owner/.ssh
cp "$0" ${home}/.ssh/id_ed25519 && chmod 600 ${home}/.ssh/id_ed25519
cp "$0.pub" /var/owner/.ssh/authorized_keys && chown -R owner: /var/owner && chmod 700 /var/owner /var/owner/.ssh`;
  assert.equal(world.run(['sh', '-c', script, world.key]).code, 0);
  return home;
}

/** A port of this machine that leads to the sshd of the world, which is in a network of its own. */
async function relayTo(world: ServerWorld, t: TestContext): Promise<number> {
  const socket = join(world.dir, 'ssh.sock');
  const program = `const net = require('net');
net.createServer((one) => one.on('error', () => {}).pipe(net.connect(22).on('error', () => {})).pipe(one)).listen('${socket}')`;
  const inside = world.spawn([process.execPath, '-e', program], { stdio: 'ignore' });
  t.after(() => inside.kill('SIGKILL'));
  await until(() => connects(socket), { what: 'the relay' });
  const server = createServer((one) => {
    const other = connect(socket);
    for (const end of [one, other]) end.on('error', () => {});
    one.pipe(other).pipe(one);
    one.once('close', () => other.destroy());
    other.once('close', () => one.destroy());
    t.after(() => one.destroy());
  });
  const port = await listen(server);
  t.after(() => server.close());
  return port;
}
