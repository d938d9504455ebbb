import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registerSecret } from '../../src/lib/secrets.ts';
import { printable } from '../../src/lib/text.ts';
import { explainRefusal } from '../../src/model/certificate.ts';

const shown = {
  file: '/device-cert.pub',
  keyId: 'device',
  serial: '0',
  authority: 'SHA256:authority',
  validFrom: null,
  validUntil: null,
  addresses: null,
  unknownOptions: [],
  forwards: true,
};

for (const [what, user, secret] of [
  ['a name', 'w5qpt', 'q9dfhs'],
  ['a secret of this process', 'k3vzn', 'k3vzn'],
  ['the beginning of one', 'h8mrd', 'h8mrd and more'],
] as const)
  test(`says that a certificate is for its user when that is called like ${what}`, () => {
    registerSecret(secret);
    const certificate = { ...shown, principals: [printable(user)] };
    assert.match(explainRefusal(certificate, user, 0), new RegExp(`is valid and for ${user} as far`));
    assert.match(explainRefusal(certificate, 'x2wlc', 0), /and not for x2wlc: /);
  });
