import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { clientText } from '../../src/setup/client.ts';
import { startRelay } from '../support/relay.ts';
import { startSshd } from '../support/sshd.ts';
import { tempDir } from '../support/until.ts';

const run = promisify(execFile);

test('the block for two servers leads real ssh to the device through whichever has it', async (t) => {
  const device = await startSshd();
  const servers = await Promise.all([startSshd(), startSshd()]);
  // The tunnel's port is the device's, which both servers reach: one that may not open it has no tunnel.
  const withoutTunnel = await startSshd({ config: ['PermitOpen none'] });
  const relays = await Promise.all(servers.map((sshd) => startRelay(sshd)));
  t.after(async () => {
    await Promise.all([device, ...servers, withoutTunnel].map((sshd) => sshd.stop()));
    await Promise.all(relays.map((relay) => relay.close()));
  });
  const dir = await tempDir(t);
  const reach = async (ports: readonly [number, number]) => {
    const [first, second] = ports.map((port) => ({ host: '127.0.0.1', port, user: device.user })) as [Server, Server];
    const text = clientText(
      {
        name: 'backup',
        ...first,
        forwards: [
          {
            kind: 'remote',
            listen: { type: 'tcp', host: '127.0.0.1', port: device.port },
            target: { type: 'tcp', host: 'localhost', port: 22 },
          },
        ],
      },
      { user: device.user, alias: 'pi', hostKeys: [], via: null, serverKeys: [], others: [second] },
    );
    const [, block = ''] = /<<'END_OF_CONFIG'\n(.*?)END_OF_CONFIG/s.exec(text) ?? [];
    const file = join(dir, 'config');
    const keys = [...servers, withoutTunnel, device].map(({ clientKey }) => `  IdentityFile ${clientKey}\n`).join('');
    // The user of this test has files of ssh, which must not matter: our own in their place, also for the ssh within.
    writeFileSync(
      file,
      `${block.replaceAll(/ssh (?=-[oW])/g, `ssh -F ${file} `).replaceAll(/UserKnownHostsFile .*/g, 'UserKnownHostsFile /dev/null')}
Host *
  IdentitiesOnly yes
  StrictHostKeyChecking no
${keys}`,
    );
    return (await run('ssh', ['-F', file, '-o', 'BatchMode=yes', 'pi', 'echo here'], { timeout: 60_000 })).stdout;
  };
  type Server = { readonly host: string; readonly port: number; readonly user: string };
  const ports = [relays[0]!.port, relays[1]!.port] as const;

  assert.equal(await reach(ports), 'here\n', 'both have it');
  assert.equal(await reach([withoutTunnel.port, ports[1]]), 'here\n', 'the first has no tunnel');
  assert.equal(await reach([ports[0], withoutTunnel.port]), 'here\n', 'the second has no tunnel');
  relays[0]!.drop();
  assert.equal(await reach(ports), 'here\n', 'the network of the first is a black hole');
  relays[0]!.heal();
  await servers[1].kill();
  assert.equal(await reach(ports), 'here\n', 'the sshd of the second is gone');
  await servers[0].kill();
  await assert.rejects(reach(ports), 'none has it');
  assert.ok(readFileSync(join(dir, 'config'), 'utf8').includes('for s in pi-server pi-server2'));
});
