import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readAlgorithms } from '../../../src/config/values/algorithm-list.ts';
import { prepareHostKeyVerifier } from '../../../src/connection/known-hosts/host-key-verifier.ts';
import { algorithms } from '../../../src/connection/ssh2/algorithms.ts';
import { createLogger } from '../../../src/lib/log/log.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { fakeClock } from '../../support/clock.ts';
import {
  type Answer,
  askSsh,
  type CaseFiles,
  CASES,
  type CertificateCase,
  createAuthorities,
  expectedOf,
  HOST,
  KEY_KINDS,
  publicKey,
} from '../../support/host-certificates.ts';
import { sshdVersion } from '../../support/sshd-process.ts';
import { plainSpec } from '../../support/tunnel.ts';
import { removeAtExit } from '../../support/until.ts';

const ASK_ALL = process.env['TUNNELD_ASK_SSH'] === 'all';

const dir = mkdtempSync(join(tmpdir(), 'tunneld-certificates-'));
removeAtExit(dir);
const authorities = await createAuthorities(dir);

describe('a host certificate proves the host where it does for ssh', { concurrency: 4 }, () => {
  for (const one of CASES.filter(({ only }) => only === undefined || only === 'ed25519'))
    test(`${one.title}: ${one.accepts}`, async () => {
      const files = await authorities.prepare(one, 'ed25519', 'ed25519');
      assert.equal(await answerOf(one, files), one.accepts);
      if (asksSsh(one)) assert.equal(await askSsh(one, files), expectedOf(one, sshdVersion()), 'ssh');
    });
});

/** An answer of ssh takes a fifth of a second: with TUNNELD_ASK_SSH=all it is asked of every case. */
const ASKED = new Set([
  'valid',
  'expired',
  'expired, the plain key known',
  'future',
  'wrong name',
  'user certificate',
  'critical option',
  'revoked authority',
  'empty principals',
  'wildcard',
  'IPv6 at a port',
  'port',
]);

describe('the same with authorities and keys of all kinds', { concurrency: 4 }, () => {
  const few = CASES.filter(
    ({ title, only }) => ASK_ALL || only === 'rsa' || /^(?:valid|expired|only others sign)$/.test(title),
  );
  for (const authority of KEY_KINDS)
    for (const hostKey of KEY_KINDS)
      for (const one of few.filter(({ only }) => only === undefined || only === authority))
        test(`${authority} certifies ${hostKey}, ${one.title}: ${one.accepts}`, async () => {
          const files = await authorities.prepare(one, authority, hostKey);
          assert.equal(await answerOf(one, files), one.accepts);
          if (ASK_ALL) assert.equal(await askSsh(one, files), expectedOf(one, sshdVersion()), 'ssh');
        });
});

test('says why, and what else is known, when a certificate proves nothing', async () => {
  const messageOf = async (title: string) => {
    const one = CASES.find((each) => each.title === title) ?? assert.fail(title);
    const files = await authorities.prepare(one, 'ed25519', 'ecdsa');
    const verifier = await prepareHostKeyVerifier(specOf(one, files), silent);
    return verifier.verify(blobIn(files.certificate))?.message ?? '';
  };
  const certificate = 'certificate "relay 1" of ssh-ed25519 SHA256:\\S{43}, valid until [-\\dT:.]+Z';
  for (const [title, pattern] of [
    ['expired', `^${HOST} shows ecdsa-sha2-nistp256 \\S+, which is not in \\S+ \\(its ${certificate}, has expired at `],
    ['future', `its ${certificate}, is not valid before .*Z, and the clock of this device says `],
    ['wrong name', `its ${certificate}, is for mail\\.example\\.com\\)`],
    ['empty principals', 'names no host'],
    ['user certificate', 'is for users, not for hosts'],
    ['critical option', 'has the unknown critical option x@example\\.com'],
    ['only others sign', 'is signed by ssh-ed25519, which caSignatureAlgorithms does not allow'],
    ['another authority', 'has an authority that no @cert-authority line names'],
    ['expired, another plain key known', `the known key is ecdsa-sha2-nistp256 .*\\(its ${certificate}, has expired`],
    ['revoked authority', `with the ${certificate}, which \\S+:2 revokes`],
    ['KRL with the serial', `whose ${certificate} revokedHostKeys \\S+krl revokes`],
    ['plain keys not allowed', 'which hostKeyAlgorithms does not allow without a certificate \\(its certificate'],
  ] as const)
    assert.match(await messageOf(title), new RegExp(pattern), title);
});

test('accepts on a rekey what was accepted before, though it has expired, and nothing else', async () => {
  const clock = fakeClock(Date.now());
  const [valid = assert.fail()] = CASES;
  const files = await authorities.prepare(valid, 'ed25519', 'ed25519');
  const verifier = await prepareHostKeyVerifier(specOf(valid, files), silent, clock);
  const shown = blobIn(files.certificate);
  assert.equal(verifier.verify(shown), null);
  const { validUntil, ...rest } = verifier.certificate() ?? assert.fail();
  assert.match(rest.authority, /^ssh-ed25519 SHA256:/);
  assert.equal(rest.keyId, 'relay 1');
  assert.ok(Date.parse(validUntil ?? '') > Date.now());
  clock.stepWall(86_400_000);
  assert.equal(verifier.verify(shown), null);
  assert.equal(verifier.trusted(), true);
  const later = await authorities.prepare({ ...valid, flags: ['-z', '8'] }, 'ed25519', 'ed25519');
  assert.equal(verifier.verify(blobIn(later.certificate))?.code, 'host-key-unknown');
  assert.equal(verifier.trusted(), false);
  assert.equal(verifier.certificate(), null);
});

test('learns no keys from a host that is known by its authority', async () => {
  const [valid = assert.fail()] = CASES;
  const files = await authorities.prepare(valid, 'ed25519', 'ed25519');
  const verifier = await prepareHostKeyVerifier(specOf(valid, files), silent);
  assert.equal(verifier.verify(blobIn(files.certificate)), null);
  const lines = readFileSync(files.knownHosts, 'utf8');
  await verifier.learn([blobIn(`${files.hostKey}.pub`)]);
  assert.equal(readFileSync(files.knownHosts, 'utf8'), lines);
});

test('adds the plain key when its certificate is unfit and strictHostKeyChecking is accept-new, as ssh', async () => {
  const expired = CASES.find(({ title }) => title === 'expired') ?? assert.fail();
  const files = await authorities.prepare(expired, 'ed25519', 'ed25519');
  const spec: TunnelSpec = { ...specOf(expired, files), strictHostKeyChecking: 'accept-new' };
  const verifier = await prepareHostKeyVerifier(spec, silent);
  assert.equal(verifier.verify(blobIn(files.certificate)), null);
  await verifier.proven();
  assert.match(readFileSync(files.knownHosts, 'utf8'), new RegExp(`^${HOST} ssh-ed25519 `, 'm'));
});

test('takes no certificate that was changed, at any of its bytes', async () => {
  const [valid = assert.fail()] = CASES;
  const files = await authorities.prepare(valid, 'ed25519', 'ed25519');
  const spec = specOf(valid, files);
  const verifier = await prepareHostKeyVerifier(spec, silent);
  const shown = blobIn(files.certificate);
  for (let at = 0; at < shown.length; at++) {
    const changed = Buffer.from(shown);
    changed[at] = changed[at]! ^ (1 << (at % 8));
    assert.equal(verifier.verify(changed)?.code, 'host-key-unknown', `byte ${at}`);
    assert.equal(verifier.trusted(), false);
  }
  for (let length = 0; length < shown.length; length++)
    assert.notEqual(verifier.verify(shown.subarray(0, length)), null, `${length} bytes`);
  assert.notEqual(verifier.verify(Buffer.concat([shown, Buffer.of(0)])), null);
});

function asksSsh({ title }: CertificateCase): boolean {
  return ASK_ALL || ASKED.has(title);
}

const silent = createLogger('fatal', () => {});

async function answerOf(one: CertificateCase, files: CaseFiles): Promise<Answer> {
  const verifier = await prepareHostKeyVerifier(specOf(one, files), silent);
  const offered = algorithms(specOf(one, files), verifier);
  const shown = [files.certificate, `${files.hostKey}.pub`].find((file) => isOffered(file, offered.serverHostKey));
  const failure = verifier.verify(blobIn(shown ?? assert.fail('nothing in common')));
  if (failure === null) return verifier.certificate() === null ? 'key' : 'certificate';
  const [, answer] = /^host-key-(unknown|changed|revoked)$/.exec(failure.code) ?? assert.fail(failure.message);
  return answer as Answer;
}

function specOf(one: CertificateCase, files: CaseFiles): TunnelSpec {
  const read = (key: 'hostKeyAlgorithms' | 'caSignatureAlgorithms', text: string | null | undefined) =>
    text == null ? null : readAlgorithms(key, true)(text);
  return {
    ...plainSpec(),
    host: one.host ?? HOST,
    port: one.port ?? 22,
    hostKeyAlias: one.alias ?? null,
    userKnownHostsFiles: [files.knownHosts],
    globalKnownHostsFiles: [],
    revokedHostKeys: files.revokedHostKeys,
    hostKeyAlgorithms: read('hostKeyAlgorithms', one.hostKeyAlgorithms),
    caSignatureAlgorithms: read('caSignatureAlgorithms', files.caSignatureAlgorithms),
  };
}

function isOffered(file: string, offered: unknown): boolean {
  const type = publicKey(file).split(' ')[0] ?? '';
  const names = type.startsWith('ssh-rsa') ? [type.replace('ssh-rsa', 'rsa-sha2-512')] : [type];
  return names.some((name) => (offered as readonly string[]).includes(name));
}

function blobIn(file: string): Buffer {
  return Buffer.from(publicKey(file).split(' ')[1] ?? '', 'base64');
}
