import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { planTakeover } from '../../src/install/takeover/takeover.ts';
import { tempDir } from '../support/until.ts';

test('restricts the service as the old command was, or takes nothing over', async (t) => {
  const home = await tempDir(t);
  const key = join(home, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const here = systemEnvironment();
  const plan = (...options: string[]) =>
    planTakeover(
      {
        program: 'ssh',
        args: ['-F', 'none', '-i', key, ...options, 'me@server'],
        user: here.userName,
        environment: {},
        directory: home,
        password: null,
        droppedSettings: [],
      },
      { name: here.userName, home, uid: here.uid, gid: here.uid, comment: '' },
      here,
    );
  const { yaml, notes } = await plan(
    '-R',
    '8080',
    ...['PermitRemoteOpen=none', 'RevokedHostKeys=/etc/ssh/revoked', 'RequiredRSASize=3072'].flatMap((each) => [
      '-o',
      each,
    ]),
  );
  for (const line of [
    'target: socks',
    'permitRemoteOpen: none',
    'revokedHostKeys: /etc/ssh/revoked',
    'requiredRSASize: 3072',
  ])
    assert.ok(yaml.includes(line), yaml);
  assert.match(notes.join('\n'), /-R 8080: a forward without a target is a SOCKS proxy/);
  await assert.rejects(
    plan('-R', '1:a:1', '-o', 'RevokedHostKeys=/home/me/revoked'),
    /cannot read \/home\/me\/revoked/,
  );
  await assert.rejects(plan('-R', '1:a:1', '-o', 'KnownHostsCommand=/bin/keys'), /KnownHostsCommand is never run/);
});
