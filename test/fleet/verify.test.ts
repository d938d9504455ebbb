import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from '../../src/fleet/verify.ts';

const KEY = Buffer.from('a host key');
const SHOWN = `SHA256:${'x'.repeat(43)}`;
const GREETING = Buffer.from('SSH-2.0-OpenSSH_9.2\r\n');
const SCAN = { hostKey: KEY, software: 'OpenSSH_9.2', error: '' };

test('verifies a port by the recorded host key alone', () => {
  const { seenHostKey } = judge(GREETING, SCAN, undefined);
  assert.equal(judge(GREETING, SCAN, undefined).verified, 'unknown');
  assert.equal(judge(GREETING, SCAN, seenHostKey).verified, 'yes');
  assert.equal(judge(GREETING, SCAN, SHOWN).trouble?.code, 'other-host-key');
  assert.equal(judge(GREETING, { ...SCAN, hostKey: null }, SHOWN).trouble?.code, 'no-ssh');
});

test('takes anything for well that answers at a port without a recorded key', () => {
  const web = Buffer.from('HTTP/1.1 \u001b[31m\r\n');
  const nothing = Buffer.alloc(0);
  assert.equal(judge(null, null, undefined).trouble, null);
  assert.equal(judge(web, null, undefined).trouble, null);
  assert.equal(judge(nothing, null, undefined).trouble?.code, 'no-answer');
  assert.equal(judge(nothing, null, SHOWN).trouble?.code, 'no-answer');
  assert.equal(judge(null, null, SHOWN).trouble?.code, 'no-answer');
  assert.match(judge(web, null, SHOWN).trouble!.message, /it says "HTTP\/1\.1 \\\\x1b\[31m"/);
});
