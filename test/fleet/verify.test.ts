import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from '../../src/fleet/verify.ts';

const KEY = Buffer.from('a host key');
const SHOWN = `SHA256:${'x'.repeat(43)}`;
const NONE = { hostKey: null, software: '', error: 'the connection ended before the host key' };
const SILENT = { bytes: 0, ended: false };
const ENDED = { bytes: 0, ended: true };
const TALKS = { bytes: 9, ended: true };

test('a port is verified by the recorded host key alone', () => {
  const scan = { hostKey: KEY, software: 'OpenSSH_9.2', error: '' };
  const { seenHostKey } = judge(scan, undefined, TALKS);
  assert.equal(judge(scan, undefined, TALKS).verified, 'unknown');
  assert.equal(judge(scan, seenHostKey, TALKS).verified, 'yes');
  assert.equal(judge(scan, SHOWN, TALKS).trouble?.code, 'other-host-key');
});

test('a port without a recorded key may lead to anything that takes connections', () => {
  assert.equal(judge(NONE, undefined, SILENT).trouble, null);
  assert.equal(judge(NONE, undefined, TALKS).trouble, null);
  assert.equal(judge(NONE, undefined, ENDED).trouble?.code, 'no-answer');
  assert.equal(judge(NONE, SHOWN, SILENT).trouble?.code, 'no-answer');
  assert.equal(judge(NONE, SHOWN, TALKS).trouble?.code, 'no-ssh');
});
