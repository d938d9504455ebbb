import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigEnvironment } from '../../../src/config/input/environment.ts';
import { planFrom } from '../../../src/install/keepers/plan-from.ts';
import { makeKey } from '../../support/login.ts';
import { tempDir } from '../../support/until.ts';

test('takes an old tunnel over for one with several servers only where that is at this server now', async (t) => {
  const dir = await tempDir(t);
  const here: ConfigEnvironment = {
    home: dir,
    userName: 'root',
    uid: 0,
    platform: 'linux',
    env: {},
    aes: true,
    directory: dir,
  };
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const known = join(dir, 'known_hosts');
  writeFileSync(known, '');
  const options = ['-F', 'none', '-i', key, '-o', `UserKnownHostsFile=${known}`];
  const command = {
    program: 'ssh',
    args: [...options, '-N', '-R', '8080:localhost:22', 'me@b.example'],
    user: 'pi',
    environment: {},
    directory: '/',
    password: null,
    droppedSettings: [],
  } as const;
  const keeper = {
    name: 'home.service',
    file: null,
    commands: [command],
    why: null,
    enabled: true,
    running: true,
    hold: { type: 'process', pid: 1 },
  } as const;
  const outcome = async (servers: string) => {
    const keys = `servers: ${servers}, user: me, identityFile: /k, sshConfig: none, remoteForward: "8080:localhost:22"`;
    const account = { name: 'pi', uid: process.getuid!(), gid: process.getgid!(), comment: '', home: dir };
    const { left, tunnels } = await planFrom([keeper], `tunnels: { backup: { ${keys} } }\n`, [account], here);
    return left[0]?.why ?? tunnels;
  };
  assert.deepEqual(await outcome('[b.example, a.example]'), ['backup']);
  assert.deepEqual(await outcome('{ all: [a.example, b.example] }'), ['backup@b.example']);
  assert.match(
    String(await outcome('[a.example, b.example]')),
    /has me@b\.example:22 for backup only while the servers before it are down, .*: write it as the first of the servers/,
  );
});
