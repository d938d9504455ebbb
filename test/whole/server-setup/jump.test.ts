import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { clientText } from '../../../src/setup/client.ts';
import { readHostKeyLines } from '../../../src/host/host-keys.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { type ServerWorld, startServerWorld } from '../../support/server-world.ts';
import { sshdPath } from '../../support/sshd-process.ts';
import { PROGRAM, tunneld } from '../../support/tunneld.ts';
import { until } from '../../support/until.ts';
import { connects, printed, setUp, untilListening, USER, startLaptop } from './fixture.ts';

const FORWARDS = "remoteForward: ['8080:localhost:2022', '8090:localhost:2022']";

test('opens with --jump the one port that people use when tunneld cannot verify its listeners', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const { world, verified } = await startDevice(t);
  await setUp(world, [], `${FORWARDS}, verify: off`);
  await verified('unknown', 'unknown');
  assert.equal(connects(world, 'localhost:8080'), 'prohibited');

  await setUp(world, ['--jump'], `${FORWARDS}, verify: off`);
  for (const to of ['localhost:8080', '127.0.0.1:8080']) assert.equal(connects(world, to), 'connected', to);
  for (const to of ['localhost:8090', '127.0.0.1:8090']) assert.equal(connects(world, to), 'prohibited', to);

  await setUp(world, [], FORWARDS);
  // What a connection may do was decided at its login.
  world.run(['sh', '-c', `kill $(cat ${world.dir}/tunneld.pid)`]);
  await verified('yes', 'yes');
  for (const to of ['localhost:22', '127.0.0.1:22', 'server:8080', 'localhost:8091'])
    assert.equal(connects(world, to), 'prohibited', to);
});

test("reaches the device's own sshd through the server by what client-setup prints, and no other", async (t) => {
  if (!mayBuildNetworks(t)) return;
  const { world, hostKeys, verified } = await startDevice(t);
  await setUp(world, [], FORWARDS);
  await verified('yes', 'yes');
  const spec: Pick<TunnelSpec, 'name' | 'host' | 'port' | 'user' | 'forwards'> = {
    name: 'backup',
    host: 'server',
    port: 22,
    user: USER,
    forwards: [forwardTo(8080), forwardTo(8090)],
  };
  const serverKeys = [/^server .*$/m.exec(readFileSync(join(world.dir, 'known_hosts'), 'utf8'))![0]];
  const options = { user: 'root', alias: 'pi', via: null, serverKeys };
  const text = clientText(spec, { ...options, hostKeys: await readHostKeyLines(hostKeys) });
  const laptop = startLaptop(world);
  const before = readFileSync(join(laptop.home, '.ssh/config'), 'utf8');
  for (const time of ['first', 'again']) {
    const { code, stderr } = laptop.paste(text);
    assert.deepEqual([code, stderr], [0, ''], time);
    assert.equal(readFileSync(join(laptop.home, '.ssh/config'), 'utf8'), `Include config.d/*.conf\n\n${before}`, time);
  }
  const reach = () => laptop.ssh('pi', 'echo this is the device; id -un');
  const { code, stdout, stderr } = reach();
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'this is the device\nroot\n');

  // The server in the device's place: it has another key.
  const known = join(laptop.home, '.ssh/config.d/pi.known_hosts');
  const right = readFileSync(known, 'utf8');
  const [, serverKey = ''] = /^server (.*)$/m.exec(right) ?? [];
  writeFileSync(known, right.replace(/^pi .*$/m, `pi ${serverKey}`));
  assert.match(reach().stderr, /Host key verification failed/);
  writeFileSync(known, right);

  // On the server itself, as the comment says.
  const [, ...command] = /^# On the server itself: (.*)$/m.exec(text)![1]!.split(' ');
  const direct = ['-o', 'HostKeyAlias=pi', '-o', `UserKnownHostsFile=${known}`, ...command, 'echo here'];
  assert.equal(laptop.ssh(...direct).stdout, 'here\n');
});

function forwardTo(port: number): TunnelSpec['forwards'][number] {
  return {
    kind: 'remote',
    listen: { type: 'tcp', host: 'localhost', port },
    target: { type: 'tcp', host: 'localhost', port: 2022 },
  };
}

interface Device {
  readonly world: ServerWorld;
  /** The folder of its sshd's host keys. */
  readonly hostKeys: string;
  /** Starts tunneld, and waits until status says this of its two listeners. */
  verified(first: string, second: string): Promise<void>;
}

/** A device with an sshd and tunneld, beside the server. */
async function startDevice(t: TestContext): Promise<Device> {
  const world = await startServerWorld(t);
  const hostKeys = join(world.dir, 'device');
  mkdirSync(hostKeys);
  const hostKey = join(hostKeys, 'ssh_host_ed25519_key');
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  const lines = [
    'Port 2022',
    `HostKey ${hostKey}`,
    'PidFile none',
    'StrictModes no',
    `AuthorizedKeysFile ${world.key}.pub`,
  ];
  writeFileSync(join(hostKeys, 'sshd_config'), `${lines.join('\n')}\n`);
  world.spawn([sshdPath(), '-D', '-f', join(hostKeys, 'sshd_config')], { stdio: 'ignore' });
  await untilListening(world);
  const config = join(world.dir, 'config.yaml');
  return {
    world,
    hostKeys,
    verified: async (...wanted) => {
      await printed(world, ['server-setup'], FORWARDS); // which writes the configuration
      const log = openSync(join(world.dir, 'tunneld.log'), 'a');
      const run = `echo $$ >${world.dir}/tunneld.pid; exec "$0" "$@"`;
      world.spawn(['sh', '-c', run, process.execPath, ...PROGRAM, 'run', '--config', config], {
        stdio: ['ignore', 'ignore', log],
      });
      closeSync(log);
      let said = '';
      await until(
        async () => {
          said = (await tunneld(['status', '--json', '--config', config])).stdout;
          const { forwards } = (JSON.parse(said) as { tunnels: { forwards: { state: string; verified: string }[] }[] })
            .tunnels[0]!;
          return (
            forwards.every(({ state }) => state === 'up') &&
            String(forwards.map((one) => one.verified)) === String(wanted)
          );
        },
        { what: () => `verified ${String(wanted)}; status: ${said}` },
      );
    },
  };
}
