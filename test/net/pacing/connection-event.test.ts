import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FailureCode } from '../../../src/model/failure.ts';
import { eventOfDial, eventOfLogin } from '../../../src/net/pacing/connection-event.ts';

test('takes a refusal for that of a firewall when an ICMP message came with it', () => {
  const cases: readonly [FailureCode, number | null, number | null, string][] = [
    ['connect-refused', 3, 3, 'refused'],
    ['connect-refused', 3, 4, 'barred'],
    ['connect-refused', null, 4, 'refused'],
    ['connect-refused', 3, null, 'refused'],
    ['connect-timeout', 3, 4, 'unanswered'],
    ['proxy-failed', 3, 4, 'refused'],
    ['dns-failed', 3, 3, 'unsent'],
  ];
  for (const [code, before, after, expected] of cases)
    assert.equal(eventOfDial(code, before, after), expected, `${code} ${before} ${after}`);
});

test('tells a rejected login from a connection that sshd dropped, and from one that left', () => {
  const cases: readonly [FailureCode, string][] = [
    ['auth-rejected', 'rejected'],
    ['handshake-failed', 'dropped'],
    ['host-key-changed', 'left'],
  ];
  for (const [code, expected] of cases) assert.equal(eventOfLogin(code), expected, code);
});
