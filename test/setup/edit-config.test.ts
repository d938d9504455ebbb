import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyTunnel, editTunnel, removeTunnel } from '../../src/setup/edit-config.ts';

const TEXT = `# mine
tunnels:
  # the first
  relay:
    host: 'a.example.org' # at home
    identityFile: [/etc/tunneld/old.key, /etc/tunneld/older.key]
    remoteForward:
      - 8080:localhost:22 # ssh
      - { listen: "localhost:8081", target: "192.168.1.9:80" }
  other: { host: b.example.org, remoteForward: 1:a:1 }
log: { level: debug }
`;

test('sets keys of one tunnel, and leaves everything else as it is written', () => {
  const edited = editTunnel(TEXT, 'relay', {
    host: 'c.example.org',
    port: 2222,
    identityFile: '/etc/tunneld/new.key',
    remoteForward: ['8082:localhost:22', { listen: 'localhost:8081', target: '192.168.1.10:80' }],
  });
  assert.equal(
    edited,
    TEXT.replace("host: 'a.example.org'", 'port: 2222\n    host: c.example.org')
      .replace('[/etc/tunneld/old.key, /etc/tunneld/older.key]', '/etc/tunneld/new.key')
      .replace('8080:', '8082:')
      .replace('"192.168.1.9:80"', '192.168.1.10:80'),
  );
  const other = editTunnel(TEXT, 'other', { remoteForward: ['2:a:1', '3:a:1'], port: 22 });
  assert.equal(
    other,
    TEXT.replace(
      '{ host: b.example.org, remoteForward: 1:a:1',
      '{ port: 22, host: b.example.org, remoteForward: [ 2:a:1, 3:a:1 ]',
    ),
  );
  assert.equal(
    editTunnel('tunnels:\n  a:\n    remoteForward:\n      - 1:a:1\n    user: me\n', 'a', { remoteForward: 'x' }),
    'tunnels:\n  a:\n    remoteForward:\n      x\n    user: me\n',
  );
  for (const text of ['tunnels: { a: 1 }', 'tunnels: { b: {} }', 'x: [', ''])
    assert.throws(() => editTunnel(text, 'a', { port: 1 }), /change it by hand/);
});

test('copies and removes a tunnel, in lines and in braces', () => {
  for (const text of [
    TEXT,
    'tunnels: { relay: { host: a }, other: {} }',
    'tunnels:\n  relay:\n    host: a\n\n# end\n',
    'tunnels:\n  relay:\n    host: a',
  ]) {
    const both = copyTunnel(text, 'relay', 'relay-next');
    const edited = editTunnel(both, 'relay-next', { host: 'c' });
    assert.match(edited, /relay-next:[\s{]*host: c\b/);
    assert.equal(removeTunnel(edited, 'relay-next'), text);
  }
});
