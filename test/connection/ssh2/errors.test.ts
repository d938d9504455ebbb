import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Stage, translateError } from '../../../src/connection/ssh2/errors.ts';
import { ProtocolViolation } from '../../../src/connection/ssh2/protocol/violations.ts';
import type { FailureCode } from '../../../src/model/failure.ts';

const withKeys = (message: string, keys: object) => Object.assign(new Error(message), keys);
const AUTH = 'offered ed25519 SHA256:x';

/** What ssh2, Node and OpenSSL say at a stage, and what a person reads. */
const CASES: readonly (readonly [Error, Stage, FailureCode, message: string])[] = [
  [withKeys('All failed', { level: 'client-authentication' }), 'authentication', 'auth-rejected', AUTH],
  // A disconnect with a reason: only in the middle of a login may it be about that.
  [withKeys('Too many', { code: 14 }), 'authentication', 'auth-rejected', `Too many: ${AUTH}`],
  [
    withKeys('Too many authentication failures', { code: 2 }),
    'authentication',
    'auth-rejected',
    `Too many authentication failures: ${AUTH}`,
  ],
  [
    new Error('Too many authentication failures'),
    'authentication',
    'handshake-failed',
    'during authentication: Too many authentication failures',
  ],
  [withKeys('Too many', { code: 14 }), 'established', 'disconnected', 'the server says: Too many'],
  [withKeys('Go away', { code: 11 }), 'handshake', 'handshake-failed', 'the server says: Go away'],
  [
    withKeys('Go away', { code: 11 }),
    'authentication',
    'handshake-failed',
    'during authentication: the server says: Go away',
  ],
  [
    new Error('Handshake failed: no matching host key format'),
    'handshake',
    'no-common-algorithm',
    'Handshake failed: no matching host key format',
  ],
  [new Error('no matching sock'), 'established', 'disconnected', 'no matching sock'],
  [
    new Error('Bad packet length: 7'),
    'established',
    'disconnected',
    'the connection was damaged on the way: a packet has an impossible length',
  ],
  ...['Invalid MAC', 'Unsupported state or unable to authenticate data', 'error:00000000:lib(0)::reason(0)'].map(
    (said) =>
      [
        new Error(said),
        'established',
        'disconnected',
        'the connection was damaged on the way: a packet does not match its checksum',
      ] as const,
  ),
  [
    withKeys('assert(length > 0)', { code: 'ERR_ASSERTION' }),
    'handshake',
    'handshake-failed',
    'the server broke the SSH protocol: a part of its message is empty',
  ],
  ...[
    new ProtocolViolation('more than it may'),
    new TypeError('x is undefined'),
    new RangeError('offset'),
    new Error('Inbound: Malformed CHANNEL_OPEN packet'),
    new Error('Received unexpected packet type 90'),
  ].map(
    (error) => [error, 'established', 'disconnected', `the server broke the SSH protocol: ${error.message}`] as const,
  ),
  [
    withKeys('read ECONNRESET', { code: 'ECONNRESET' }),
    'established',
    'disconnected',
    'the connection was reset (ECONNRESET)',
  ],
  [withKeys('read ENOBUFS', { code: 'ENOBUFS' }), 'established', 'disconnected', 'read ENOBUFS (ENOBUFS)'],
];

test('says what it means when ssh2, OpenSSL or the socket reports an error', () => {
  for (const [error, stage, code, message] of CASES) {
    const failure = translateError(error, stage, AUTH);
    assert.deepEqual([failure.code, failure.message], [code, message], `${error.message} at ${stage}`);
    assert.equal(failure.cause, error);
  }
});

test('repeats what was said when nothing is known of the login', () => {
  const rejected = withKeys('All failed', { level: 'client-authentication' });
  assert.equal(translateError(rejected, 'authentication', '').message, 'All failed');
  assert.equal(translateError(withKeys('Too many', { code: 14 }), 'authentication', '').message, 'Too many');
});

test('lets no control character of a server through', () => {
  assert.doesNotMatch(translateError(withKeys('\x1b[31mred', { code: 11 }), 'established', '').message, /\x1b/);
});
