import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { StatusDocument } from '../../../src/status/document.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';
import { descendantsOf, signalAll } from '../../support/processes.ts';
import { PROGRAM } from '../../support/tunneld.ts';
import { until } from '../../support/until.ts';
import { reload, untilListening } from '../server-setup/fixture.ts';

const SPARE = '/etc/ssh/ssh_host_ed25519_spare_key';

const KEYS = '/etc/ssh/authorized_keys.d';

test("changes a tunnel's key over the owner's login, and makes a copied card a device of its own", async (t) => {
  if (!mayBuildNetworks(t)) return;
  const { world, dir, cli, killedAt, isUp } = await start(t);
  const [, given = ''] = world.run(['ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub']).stdout.split(' ');
  const config = ['--config', join(dir, 'config.yaml')];
  const via = ['--via', 'owner@server', '--yes'];
  const init = [
    'init',
    'limited@server',
    '-R',
    '8080:localhost:2022',
    '--name',
    'relay',
    '--host-key-fingerprint',
    given,
    '--spare-host-key',
    '--no-wait',
    ...via,
    ...config,
  ];
  const wouldOfSpare = () => cli(...init, '--dry-run').stdout.match(/^would .*spare host key.*$/gm) ?? [];
  // What is there is no key.
  world.run(['sh', '-c', `echo none >${SPARE}`]);
  const without = cli(...init);
  assert.equal(without.code, 0, without.stderr);
  assert.match(without.stderr, /owner@server:22 printed no spare host key, so that none is known here/);
  world.run(['rm', SPARE]);
  assert.deepEqual(
    wouldOfSpare().map((line) => line.replace(/ in .*/, '')),
    ['would make a spare host key on owner@server:22', 'would make the spare host key of server known'],
  );
  const made = cli(...init);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stderr, /ssh_host_ed25519_spare_key: is made where it is missing, for root alone/);
  assert.match(made.stderr, /the spare host key of server is known in /);
  assert.deepEqual(wouldOfSpare(), []);
  const daemon = world.spawn([...command(world), 'run', ...config], { stdio: 'ignore' });
  t.after(() => daemon.kill('SIGKILL'));
  await until(isUp, { what: () => world.sshdLog() });

  await killedAt(/server: limited is set up/, ['rekey', 'relay', ...via, ...config]);
  await untilListening(world);
  await until(isUp, { what: 'the tunnel with one of its keys' });
  const rekeyed = cli('rekey', 'relay', ...via, ...config);
  assert.equal(rekeyed.code, 0, rekeyed.stderr);
  await untilListening(world);
  const [next = ''] = readdirSync(dir).filter((name) => /^relay\.\d\.key$/.test(name));
  const base64 = readFileSync(join(dir, `${next}.pub`), 'utf8').split(' ')[1]!;
  const [line = '', ...others] = linesOf(world, 'limited');
  assert.deepEqual([line.includes(base64), others, existsSync(join(dir, 'relay.key'))], [true, [], false]);
  await until(isUp, { what: 'the tunnel with the new key' });

  // The card is copied; the copy has the same files at the same places, which are others only here.
  const copy = join(world.dir, 'copy');
  cpSync(dir, copy, { recursive: true });
  const file = join(copy, 'config.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll(dir, copy));
  const own = ['--config', file];
  assert.match(cli('new-identity', '--name', 'pi08', ...own).stderr, /can be chosen only where that is looked at/);
  const renewed = cli('new-identity', '--name', 'pi08', ...via, ...own);
  assert.equal(renewed.code, 0, renewed.stderr);
  await untilListening(world);
  assert.match(renewed.stderr, /this device is pi08 now: tunnel-pi08@server:22, port 20000 of the server/);
  assert.match(
    readFileSync(file, 'utf8'),
    /user: tunnel-pi08\n[^]*identityFile: \S*relay\.\d\.key\n[^]*- 20000:localhost:2022\n/,
  );
  const keys = readdirSync(copy).filter((name) => name.includes('relay'));
  assert.deepEqual([keys.length, keys.includes(next)], [2, false]);
  assert.match(linesOf(world, 'tunnel-pi08').join('\n'), /permitlisten="localhost:20000".* tunneld relay of pi08$/);
  assert.deepEqual(linesOf(world, 'limited'), [line]);
  assert.ok(isUp() && existsSync(join(dir, next)));

  // And another one, of which the tunnel has two servers.
  const third = join(world.dir, 'third');
  cpSync(dir, third, { recursive: true });
  const two = ['--config', join(third, 'config.yaml')];
  const known = readFileSync(join(third, 'known_hosts'), 'utf8');
  writeFileSync(join(third, 'known_hosts'), `${known}${known.replaceAll(/^server /gm, '[server]:2222 ')}`);
  const several = readFileSync(join(dir, 'config.yaml'), 'utf8')
    .replaceAll(dir, third)
    .replace(/^( +)host: .*\n/m, '$1servers: [limited@server, { host: server, port: 2222 }] # both\n');
  writeFileSync(two[1]!, several);
  const asked = ['new-identity', 'relay', '--name', 'pi09', '--yes', ...two];
  assert.match(cli(...asked, '--via', 'owner@server').stderr, /name a login of yours for each server of the tunnel/);
  assert.equal(readFileSync(two[1]!, 'utf8'), several);
  const both = cli(...asked, '--via', 'owner@server:2222', '--via', 'owner@server');
  assert.equal(both.code, 0, both.stderr);
  assert.match(both.stderr, /pi09 now: tunnel-pi09@server:22, tunnel-pi09@server:2222, port 20001 of the server/);
  const after = readFileSync(two[1]!, 'utf8');
  assert.match(after, /servers: \[ ?tunnel-pi09@server, \{ host: server, port: 2222 \} ?\] # both\n/);
  assert.match(after, /user: tunnel-pi09\n[^]*- 20001:localhost:2022\n/);
  assert.match(
    linesOf(world, 'tunnel-pi09').join('\n'),
    /^[^\n]*permitlisten="localhost:20001"[^\n]* tunneld relay of pi09 servers:failover$/,
  );
  assert.deepEqual(linesOf(world, 'limited'), [line]);
  assert.ok(isUp() && existsSync(join(dir, next)));

  // The server's host key is replaced by the spare one, which the device knows, and no login has made it forget.
  const spare = world.read(`${SPARE}.pub`)!.split(' ')[1]!;
  const knownHosts = () => readFileSync(join(dir, 'known_hosts'), 'utf8').trimEnd().split('\n');
  assert.deepEqual(
    knownHosts().map((one) => one.endsWith(`${spare} spare-host-key`)),
    [false, true],
  );
  world.run(['sh', '-c', `echo 'HostKey ${SPARE}' >/etc/ssh/sshd_config.d/50-spare.conf`]);
  await reload(world);
  world.run(['pkill', '-KILL', '-u', 'limited']);
  await until(() => knownHosts().length === 1 && knownHosts()[0]!.endsWith(` ${spare}`), {
    what: () => `the spare key as the only one: ${knownHosts().join()}`,
  });
  await until(isUp, { what: 'the tunnel with the other host key' });
  // It is a key like any other now, here and there.
  assert.deepEqual(wouldOfSpare(), []);
});

interface Place {
  readonly world: ServerWorld;
  /** The folder of the configuration, which init makes. */
  readonly dir: string;
  cli(...args: string[]): ReturnType<ServerWorld['run']>;
  /** The command is killed when it says this. */
  killedAt(said: RegExp, args: readonly string[]): Promise<void>;
  /** Whether the tunnel of the daemon is up, and no trial runs. */
  isUp(): boolean;
}

/** A server with an administrator who needs no password. */
async function start(t: TestContext): Promise<Place> {
  const world = await startServerWorld(t, {
    config: 'Include /etc/ssh/sshd_config.d/*.conf\nPort 22\nPort 2222\n',
    prepare: 'useradd --create-home --home-dir /var/owner --shell /bin/sh owner',
  });
  const ssh = join(world.dir, 'home/.ssh');
  mkdirSync(ssh, { recursive: true });
  const script = `usermod --password '*' owner
echo 'owner ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/owner
cp "$0" ${ssh}/id_ed25519 && chmod 600 ${ssh}/id_ed25519
mkdir -p /var/owner/.ssh && cp "$0.pub" /var/owner/.ssh/authorized_keys && chown -R owner: /var/owner && chmod 700 /var/owner /var/owner/.ssh`;
  assert.equal(world.run(['sh', '-c', script, world.key]).code, 0);
  await untilListening(world);
  const cli: Place['cli'] = (...args) => world.run([...command(world), ...args]);
  const dir = join(world.dir, 'tunneld');
  return {
    world,
    dir,
    cli,
    killedAt: async (said, args) => {
      const child = world.spawn([...command(world), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
      const closed = new Promise((resolve) => child.once('close', resolve));
      let all = '';
      child.stderr!.on('data', (text) => {
        all += String(text);
        if (said.test(all)) signalAll([...descendantsOf(child.pid!), child.pid!], 'SIGKILL');
      });
      await closed;
      assert.match(all, said);
    },
    isUp: () => {
      const { stdout } = cli('status', '--json', '--config', join(dir, 'config.yaml'));
      const { tunnels, trial } = JSON.parse(stdout || '{"tunnels":[]}') as StatusDocument;
      return tunnels[0]?.phase === 'up' && trial === undefined;
    },
  };
}

function command(world: ServerWorld): readonly string[] {
  const env = [`HOME=${world.dir}/home`, 'SUDO_USER=', 'NO_COLOR=1', 'SSH_AUTH_SOCK='];
  return ['env', ...env, process.execPath, ...PROGRAM];
}

function linesOf(world: ServerWorld, user: string): readonly string[] {
  return (world.read(`${KEYS}/${user}`) ?? '').split('\n').filter((line) => line !== '');
}
