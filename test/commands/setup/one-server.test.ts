import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { init } from '../../../src/commands/setup/init/init.ts';
import { rekey } from '../../../src/commands/setup/change/rekey.ts';
import { pairLogins } from '../../../src/commands/setup/change/rekey-servers.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { tempDir } from '../../support/until.ts';

const OPTIONS = { via: null, jump: false, wait: false, yes: true };
const MOVE = { ...OPTIONS, from: null, hostKeyFingerprint: null };
const INIT = {
  ...MOVE,
  server: null,
  forwards: [],
  name: 'backup',
  i: null,
  certificate: null,
  set: [],
  from: null,
  dryRun: false,
  json: false,
};

test('refuses to write for all servers of a tunnel what one of them is set up for, and changes nothing', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'config.yaml');
  const text = `tunnels:
  keys: { servers: [{ host: 127.0.0.1, identityFile: a }, { host: 127.0.0.2, identityFile: b }], sshConfig: none, remoteForward: 1:a:1 }
  backup: { servers: ["me@127.0.0.1:1", "me@127.0.0.2:1"], identityFile: k, sshConfig: none, remoteForward: 8080:localhost:22 }
`;
  writeFileSync(file, text);
  const refused =
    /^(?:backup|keys) has several servers, and (\S.*) is for a tunnel with one host: nothing was changed\. \S/;
  for (const [run, what, way] of [
    [
      () => rekey(file, 'keys', { ...OPTIONS, via: [] }),
      'rekey with keys that differ from server to server',
      /\(keys, keys@127\.0\.0\.2\)/,
    ],
    [() => init(file, { ...INIT, set: ['host=127.0.0.3', 'port=2'] }), '--set host, port', /backup@HOST for another/],
    [() => init(file, { ...INIT, set: ['identityFile=other'] }), '--set identityFile', /server-setup/],
    [
      () => init(file, { ...INIT, server: 'me@127.0.0.3', forwards: ['8080:localhost:22'] }),
      'init',
      /Edit backup there/,
    ],
  ] as const) {
    await assert.rejects(run, (error: Error) => {
      assert.equal(refused.exec(error.message)?.[1], what, error.message);
      assert.match(error.message, way);
      return true;
    });
  }
  await assert.rejects(
    rekey(file, 'backup', { ...OPTIONS, via: ['me@127.0.0.1'] }),
    /name a login of yours for each server of the tunnel, and no other: --via me@127\.0\.0\.1:1 --via me@127\.0\.0\.2:1/,
  );
  await assert.rejects(
    init(file, { ...INIT, name: 'new', server: 'me@127.0.0.3', forwards: ['1:a:1'], set: ['servers=[a, b]'] }),
    /--set servers: init sets one server up\. Write servers into the file/,
  );
  assert.deepEqual([readdirSync(dir), readFileSync(file, 'utf8')], [['config.yaml'], text]);
});

test('takes each login for the server whose address it has, and the others in their order', () => {
  const at = (host: string, port = 22) => ({ host, port, hostKeyAlias: null, jumps: [] }) as unknown as TunnelSpec;
  const servers = [at('a'), at('b'), at('c')];
  for (const [logins, wanted] of [
    [
      [at('a'), at('b'), at('c')],
      [0, 1, 2],
    ],
    [
      [at('c'), at('a'), at('b')],
      [1, 2, 0],
    ],
    [
      [at('c'), at('x'), at('y')],
      [1, 2, 0],
    ],
    [
      [at('x'), at('y'), at('z')],
      [0, 1, 2],
    ],
    [
      [at('a'), at('b'), at('c', 2222)],
      [0, 1, 2],
    ],
  ] as const)
    assert.deepEqual(pairLogins(servers, logins), wanted);
  const routes = [at('a'), at('a')];
  assert.deepEqual(pairLogins(routes, routes), [0, 1]);
});
