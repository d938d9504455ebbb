import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryHas, serversWith, serverWith } from '../../src/setup/edit-servers.ts';

const TEXT = `
defaults: { servers: [d1, d2] }
tunnels:
  list: { servers: [me@a, "[::1]", { host: c, port: 2222, identityFile: k }] }
  timed: { servers: { failover: [a, "b:2222"], after: 30 } }
  shared: { remoteForward: 1:a:1 }
`;

test('edits one of several servers, which stays as short as it is written where that can have its keys', () => {
  const list = (edit: Parameters<typeof serverWith>[3], index = 0) => serverWith(TEXT, 'list', index, edit);
  assert.deepEqual(list({ host: 'x' }), 'me@x');
  assert.deepEqual(list({ host: 'x', port: 2222, user: 'you' }), 'you@x:2222');
  assert.deepEqual(list({ host: '::2', port: 22 }), 'me@[::2]:22');
  assert.deepEqual(list({ host: '::2' }), 'me@[::2]');
  assert.deepEqual(list({}, 1), '[::1]');
  assert.deepEqual(list({ identityFile: 'n' }), { host: 'a', user: 'me', identityFile: 'n' });
  assert.deepEqual(list({ host: 'x', hostKeyAlias: 'x' }, 2), {
    host: 'x',
    port: 2222,
    identityFile: 'k',
    hostKeyAlias: 'x',
  });
  const second = (tunnel: string) => serversWith(TEXT, tunnel, (index) => (index === 1 ? { host: 'x' } : null));
  assert.deepEqual(second('timed'), { failover: ['a', 'x:2222'], after: 30 });
  assert.deepEqual(second('shared'), ['d1', 'x']);
  assert.throws(() => serversWith('tunnels: { one: { host: a } }', 'one', () => null), /change them by hand/);
  assert.deepEqual(
    [0, 1, 2].map((index) => [entryHas(TEXT, 'list', index, 'user'), entryHas(TEXT, 'list', index, 'identityFile')]),
    [
      [true, false],
      [false, false],
      [false, true],
    ],
  );
});
