import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SPARE_FILE } from '../../../src/server-rules/server-setup.ts';
import { lookScript, readLook } from '../../../src/setup/via/look.ts';
import { DEFAULT_RANGE } from '../../../src/setup/via/ports.ts';
import { tempDir } from '../../support/until.ts';

test('shows any user of this machine what there is', () => {
  const output = execFileSync('sh', ['-s'], { input: lookScript('daemon'), encoding: 'utf8' });
  const look = readLook(output, 'daemon')!;
  assert.equal(look.system, process.platform === 'darwin' ? 'macos' : 'linux');
  assert.equal(look.user?.uid, 1);
  assert.equal(look.freeName, 'daemon2');
  assert.deepEqual(look.range, DEFAULT_RANGE);
  const nobody = execFileSync('sh', ['-s'], { input: lookScript('no-such-user'), encoding: 'utf8' });
  assert.equal(readLook(nobody, 'no-such-user')?.user, null);
});

test('sees the spare key only where both of its halves are there', async (t) => {
  const spare = join(await tempDir(t), 'spare');
  const script = lookScript('daemon').replace(SPARE_FILE, spare);
  const seen = () => readLook(execFileSync('sh', ['-s'], { input: script, encoding: 'utf8' }), 'daemon')!.spare;
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', spare]);
  assert.notEqual(seen(), null);
  rmSync(spare);
  assert.equal(seen(), null);
});

test('reads strictly what the server says, and lets nothing of it reach the terminal raw', () => {
  assert.equal(readLook('This account is not available.\n', 'a'), null);
  const lines = [
    'root\tis',
    'user\ta:x:12:1::/:\u001b[31m/bin/sh',
    'free\t$(reboot)',
    'promised\tb permitlisten="localhost:8080"',
    'promised\tc permitlisten="8081"',
    'promised\td permitlisten="*:*"',
    'listening\tx',
    'range\t1-2',
    'end\t',
  ];
  const look = readLook(lines.join('\n'), 'a')!;
  assert.deepEqual(look.promised, [
    { user: 'b', host: 'localhost', port: 8080 },
    { user: 'c', host: '*', port: 8081 },
  ]);
  assert.deepEqual(
    [look.freeName, look.listening, look.range, look.user?.shell],
    ['a2', [], DEFAULT_RANGE, '\\x1b[31m/bin/sh'],
  );
});
