import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { KEY_KINDS } from '../../support/login.ts';
import { writeRsaKey } from '../../support/rsa-key.ts';
import { FOREVER, isSigned, readCertificate, type Certificate } from '../../../src/connection/ssh/certificate.ts';

const run = promisify(execFile);

const folder = await mkdtemp(join(tmpdir(), 'certificate-'));
await Promise.all(
  KEY_KINDS.flatMap(([type, bits]) =>
    ['ca', 'key'].map(async (name) => {
      const file = join(folder, `${name}-${type}${bits}`);
      if (type === 'rsa') writeRsaKey(file, 'me');
      else await run('ssh-keygen', ['-q', '-t', type, '-b', bits, '-N', '', '-C', 'me', '-f', file]);
    }),
  ),
);

after(() => rm(folder, { recursive: true }));

for (const [type, bits] of KEY_KINDS) {
  const kind = type + bits;
  test(`reads a certificate when ${kind} has signed ${kind}`, async () => {
    const certificate = await sign(kind, kind, ['-n', 'alice,bob', '-V', '20300101000000Z:20310101000000Z', '-z', '7']);
    assert.equal(certificate.use, 'user');
    assert.equal(certificate.keyId, 'who');
    assert.equal(certificate.serial, 7n);
    assert.deepEqual(certificate.principals, ['alice', 'bob']);
    assert.equal(certificate.validAfter, BigInt(Date.UTC(2030, 0, 1) / 1000));
    assert.equal(certificate.validBefore, BigInt(Date.UTC(2031, 0, 1) / 1000));
    assert.deepEqual(certificate.criticalOptions, []);
    assert.ok(certificate.extensions.some(({ name }) => name === 'permit-port-forwarding'));
    assert.deepEqual(certificate.key, await publicKey(`key-${kind}`));
    assert.deepEqual(certificate.authority, await publicKey(`ca-${kind}`));
    assert.equal(certificate.type, `${certificate.keyType}-cert-v01@openssh.com`);
    assert.equal(isSigned(certificate), true);
  });
}

test('reads options and hosts, and no end, when a certificate has them', async () => {
  const forced = await sign('ed25519256', 'ed25519256', ['-O', 'force-command=uptime', '-O', 'no-pty']);
  assert.deepEqual(
    forced.criticalOptions.map(({ name, data }) => [name, data.subarray(4).toString()]),
    [['force-command', 'uptime']],
  );
  assert.equal(forced.validBefore, FOREVER);
  assert.deepEqual(forced.principals, []);
  const host = await sign('rsa2048', 'ed25519256', ['-h', '-n', '*.example.org']);
  assert.equal(host.use, 'host');
  assert.equal(host.signatureAlgorithm, 'rsa-sha2-512');
  assert.equal(isSigned(host), true);
});

test('takes no certificate for signed when one byte of it differs', async () => {
  const { blob } = await sign('ecdsa256', 'ed25519256', ['-n', 'alice']);
  const wrong: number[] = [];
  for (let at = 0; at < blob.length; at++) {
    const other = Buffer.from(blob);
    other[at]! ^= 1;
    const certificate = readCertificate(other);
    if (certificate !== null && isSigned(certificate)) wrong.push(at);
  }
  assert.deepEqual(wrong, []);
});

test('reads no certificate when bytes are missing, or too many', async () => {
  const { blob } = await sign('ed25519256', 'ed25519256', ['-n', 'alice']);
  for (let length = 0; length < blob.length; length++)
    assert.equal(readCertificate(blob.subarray(0, length)), null, `${length} bytes`);
  assert.equal(readCertificate(Buffer.concat([blob, Buffer.alloc(1)])), null);
  assert.equal(readCertificate(await publicKey('key-ed25519256')), null);
});

async function sign(authority: string, key: string, options: readonly string[]): Promise<Certificate> {
  const path = join(folder, `key-${key}`);
  await run('ssh-keygen', ['-q', '-s', join(folder, `ca-${authority}`), '-I', 'who', ...options, `${path}.pub`]);
  const certificate = readCertificate(await publicKey(`key-${key}-cert`));
  assert.ok(certificate);
  return certificate;
}

async function publicKey(name: string): Promise<Buffer> {
  const [, blob = ''] = (await readFile(join(folder, `${name}.pub`), 'utf8')).split(' ');
  return Buffer.from(blob, 'base64');
}
