import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newIdentity } from '../../../../src/commands/setup/change/new-identity.ts';
import { tempDir } from '../../../support/until.ts';

test('makes no key when the port cannot be one of the server', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'config.yaml');
  writeFileSync(
    file,
    'tunnels: { relay: { host: 127.0.0.1, user: me, identityFile: k, sshConfig: none, remoteForward: [8080:a:1, 8081:a:2] } }\n',
  );
  const options = { name: 'two', via: [], jump: false, wait: false, yes: true };
  for (const [port, message] of [
    [null, /name one with --port$/],
    ['abc', /--port "abc": it must be a whole number from 1 to 65535, the first of 2 ports in a row$/],
    ['65535', /--port "65535": it must be/],
  ] as const)
    await assert.rejects(newIdentity(file, null, { ...options, port }), message);
  assert.deepEqual(readdirSync(dir), ['config.yaml']);
});
