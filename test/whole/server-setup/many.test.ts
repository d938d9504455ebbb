import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld } from '../../support/server-world.ts';
import { tunneld } from '../../support/tunneld.ts';
import { forwards, runScript, untilListening } from './fixture.ts';

test('sets up each device of a directory by one script, also where another fails, and undoes it', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  const directory = join(world.dir, 'configs');
  const device = (name: string, port: number, key = `${world.key}.pub`, user = `tunnel-${name}`) => {
    mkdirSync(join(directory, name), { recursive: true });
    writeFileSync(
      join(directory, name, 'config.yaml'),
      `tunnels: { relay: { host: server, user: ${user}, identityFile: /etc/tunneld/relay.key, remoteForward: ${port}:localhost:22 } }\n`,
    );
    cpSync(key, join(directory, name, 'relay.key.pub'));
    cpSync(join(world.dir, 'etc/ssh/ssh_host_ed25519_key.pub'), join(directory, name, 'ssh_host_ed25519_key.pub'));
  };
  const script = async (...options: string[]) => {
    const { code, stdout, stderr } = await tunneld(['server-setup', '--from', directory, ...options]);
    return { code, script: stdout, stderr };
  };
  for (const [index, name] of ['pi01', 'pi02', 'pi03'].entries()) device(name, 8001 + index);
  await untilListening(world);
  const before = world.snapshot();
  mkdirSync(join(world.dir, 'etc/ssh/authorized_keys.d'));
  const attic = join(world.dir, 'etc/ssh/authorized_keys.d/attic');
  writeFileSync(attic, 'restrict,permitlisten="localhost:8002" ssh-ed25519 AAAA\n');

  const made = await script();
  assert.equal(made.code, 0, made.stderr);
  assert.equal(made.script.split('useradd --system').length, 2, 'the work is written once');
  const first = runScript(world, made.script);
  await untilListening(world);
  assert.equal(first.code, 1);
  assert.match(first.stdout, /^pi01:\n[^]*tunnel-pi01 is set up[^]*^pi02:\n[^]*^pi03:\n[^]*devices set up: 2\n$/m);
  assert.match(first.stderr, /port 8002 of this server is reserved for the user attic/);
  assert.match(first.stderr, /tunneld: not set up: pi02\n$/);
  assert.equal(world.read('/etc/ssh/authorized_keys.d/tunnel-pi02'), null);
  assert.match(world.read('/etc/ssh/authorized_keys.d/tunnel-pi03')!, / host-key:8003=SHA256:/);
  assert.equal(forwards(world, '8003:localhost:22', 'tunnel-pi03'), 'granted');

  world.run(['rm', '/etc/ssh/authorized_keys.d/attic']);
  const second = runScript(world, made.script);
  await untilListening(world);
  assert.equal(second.code, 0, second.stderr);
  assert.match(second.stdout, /pi01:\n[^]*nothing was changed\npi02:\n[^]*devices set up: 3\n$/);

  const undone = runScript(world, (await script('--undo')).script);
  await untilListening(world);
  assert.equal(undone.code, 0, undone.stderr);
  assert.match(undone.stdout, /devices undone: 3\n$/);
  world.run(['rmdir', '/etc/ssh/authorized_keys.d']);
  assert.deepEqual(world.snapshot(), before);

  device('pi04', 8003);
  assert.match((await script()).stderr, /pi04 and pi03 both want port 8003/);
  device('pi04', 8004);
  const signed = join(directory, 'pi04', 'relay.key.pub');
  const signing = ['-q', '-s', world.key, '-I', 'pi04', '-n', 'pi04', '-V', '-1h:+1h', signed];
  assert.equal(world.run(['ssh-keygen', ...signing]).code, 0);
  const certified = (await script()).script;
  assert.equal(
    certified.match(/^cert-authority,\S*permitlisten="localhost:8004",\S*principals="pi04" ssh-ed25519 /gm)?.length,
    1,
  );
  world.run(['rm', join(directory, 'pi04', 'relay.key-cert.pub')]);
  device('pi04', 8004, undefined, 'tunnel-pi03');
  assert.match((await script()).stderr, /pi04 and pi03 both log in as tunnel-pi03/);
  device('pi04', 8004, `${world.dir}/known_hosts`);
  assert.match((await script()).stderr, /relay\.key\.pub holds no public key of ssh/);
  assert.match((await script('other')).stderr, /no device of \S+ has a tunnel "other"/);
});
