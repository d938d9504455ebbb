import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { withChecksum, checksumState } from '../../../src/install/systemd/checksum.ts';
import { execWords, systemUnit, USUAL_UNIT, userUnit } from '../../../src/install/systemd/unit-file.ts';

test('is the unit in the sources when it is rendered for the usual machine', () => {
  const shipped = readFileSync(new URL('../../../systemd/tunnel.service', import.meta.url), 'utf8');
  assert.equal(shipped, systemUnit(USUAL_UNIT));
});

test('trusts no child when systemd can hand over a descriptor', () => {
  const lines = (systemd: number) => systemUnit({ ...USUAL_UNIT, systemd }).split('\n');
  assert.ok(lines(252).includes('NotifyAccess=all'));
  assert.ok(!lines(252).includes('OpenFile=/run/systemd/notify:notify'));
  assert.ok(lines(253).includes('NotifyAccess=main') && lines(253).includes('OpenFile=/run/systemd/notify:notify'));
  const journal = 'OpenFile=/run/systemd/journal/socket:journal:graceful';
  for (const unit of [systemUnit, userUnit])
    for (const systemd of [252, 253])
      assert.equal(
        unit({ ...USUAL_UNIT, systemd })
          .split('\n')
          .includes(journal),
        systemd === 253,
      );
  for (const version of [252, 253, 257]) assert.ok(lines(version).includes('Type=notify'));
});

test("names the file in a user's own unit, for there may be one of the system", () => {
  const text = userUnit({ program: '/usr/bin/node /opt/cli.js', systemd: 252 });
  assert.match(text, /^ExecStart=\/usr\/bin\/node \/opt\/cli\.js run --config %h\/\.config\/tunneld\/config\.yaml$/m);
  assert.doesNotMatch(text, /^(?:User|ProtectHome|CapabilityBoundingSet|LoadCredential)=/m);
});

test('quotes the words of a command line so that they mean themselves', () => {
  assert.equal(
    execWords(['/usr/bin/node', '--single-threaded-gc', '/a/cli.js']),
    '/usr/bin/node --single-threaded-gc /a/cli.js',
  );
  assert.equal(
    execWords(['/opt/my node', 'a$b', '50%', 'say "x\\y"']),
    String.raw`"/opt/my node" a$$b 50%% "say \"x\\y\""`,
  );
});

test('tells an edited file from one that is as it was written', () => {
  const text = withChecksum('[Service]\nExecStart=/bin/true\n', 'Do not edit.');
  assert.equal(checksumState(text), 'intact');
  assert.equal(checksumState(text.replace('/bin/true', '/bin/false')), 'edited');
  assert.equal(checksumState(`# mine\n${text}`), 'edited');
  assert.equal(checksumState('[Service]\n'), 'none');
  assert.equal(checksumState(''), 'none');
});
