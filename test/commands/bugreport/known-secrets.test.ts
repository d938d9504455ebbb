import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { registerSecretsOf } from '../../../src/commands/bugreport/known-secrets.ts';
import { systemEnvironment } from '../../../src/config/input/environment.ts';
import { parseConfig } from '../../../src/config/parse.ts';
import { maskSecrets } from '../../../src/lib/secrets.ts';
import { tempDir } from '../../support/until.ts';

test('masks what programs are given wherever it is repeated, but no name of a server or a user', async (t) => {
  const dir = await tempDir(t);
  const passwordFile = join(dir, 'password');
  writeFileSync(passwordFile, `of-a-file\n${'a line of something else\n'.repeat(2000)}`, { mode: 0o600 });
  const yaml = `
tunnels:
  a:
    host: relay.example.org
    user: e
    sshConfig: none
    passwordFile: ${passwordFile}
    proxyCommand: 'TOKEN=of-a-variable nc --auth="of-an-option" of-an-argument e@relay.example.org:22 /usr/bin/nc'
    remoteForward: 8080:localhost:22
onChange: { command: [/usr/local/bin/alarm, --key=of-an-alarm] }
`;
  const config = await parseConfig(yaml, '/etc/tunneld/config.yaml', systemEnvironment());
  await registerSecretsOf(yaml, config);
  for (const secret of ['of-a-file', 'of-a-variable', 'of-an-option', 'of-an-argument', 'of-an-alarm'])
    assert.equal(maskSecrets(`sh: ${secret}: not found`), 'sh: ***: not found', secret);
  for (const name of ['e@relay.example.org:22', 'relay.example.org', '/usr/local/bin/alarm', 'a line of'])
    assert.equal(maskSecrets(`${name} says`), `${name} says`);
});
