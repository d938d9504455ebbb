import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { move } from '../../../../src/commands/setup/change/move.ts';
import { tempDir } from '../../../support/until.ts';

test('leaves a tunnel alone that has the name of the copy, and is at another server', async (t) => {
  const file = join(await tempDir(t), 'config.yaml');
  const line = (name: string, host: string, forward: string) =>
    `  ${name}: { host: ${host}, user: me, identityFile: k, sshConfig: none, ${forward} }\n`;
  const text = `tunnels:\n${line('relay', '127.0.0.1', 'localForward: 8080:localhost:22')}${line('relay-next', '127.0.0.2', 'remoteForward: 8081:localhost:22')}`;
  writeFileSync(file, text);
  const options = { via: null, jump: false, wait: false, yes: true, hostKeyFingerprint: null };
  await assert.rejects(
    move(file, 'relay', 'me@127.0.0.3', options),
    /has a tunnel relay-next to me@127\.0\.0\.2:22 already, .*finish that move \(tunneld move relay me@127\.0\.0\.2:22\), or give that tunnel another name$/,
  );
  assert.equal(readFileSync(file, 'utf8'), text);
});
