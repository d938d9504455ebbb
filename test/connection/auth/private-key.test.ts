import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TunnelFailure, type FailureCode } from '../../../src/model/failure.ts';
import { inspectKeyFile } from '../../../src/connection/auth/key-file.ts';
import { parsePrivateKey } from '../../../src/connection/auth/private-key.ts';
import { startSshd } from '../../support/sshd.ts';
import { tempDir } from '../../support/until.ts';
import { logIn, makeKey, publicLine, specFor } from '../../support/login.ts';

const PASSPHRASE = 'correct horse';

/** Of thousands of wrong passphrases the padding looks right with one in 256: with these it does. */
const ENCRYPTED = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgVqNUZQ4hVWgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEIAwJjnw0D6mtD7o5sCfzeEEQMsF
nUya1EPf4W7hNLRCtJfOoLitA9wipTmjgFXJv6NreybIoYwAiO5iYaWvLU/mXvgl
xe1sakp/HfGj4O5/2Yk=
-----END ENCRYPTED PRIVATE KEY-----
`;

const TYPES = [
  ['ed25519', '-t', 'ed25519'],
  ['rsa', '-t', 'rsa', '-b', '2048'],
  ['ecdsa256', '-t', 'ecdsa', '-b', '256'],
  ['ecdsa384', '-t', 'ecdsa', '-b', '384'],
  ['ecdsa521', '-t', 'ecdsa', '-b', '521'],
] as const;

/** Private keys of all types in all formats that ssh-keygen and OpenSSL write, by name. */
function everyKey(dir: string): { name: string; path: string; encrypted: boolean }[] {
  const made = TYPES.flatMap(([type, ...args]) => {
    // One of each type, as the others cost nothing but to be written: only of RSA that tells.
    const first = makeKey(dir, type, ...args);
    return ['RFC4716', 'PEM', 'PKCS8'].flatMap((format) =>
      ['', PASSPHRASE].map((passphrase) => {
        const name = `${type}-${format}${passphrase && '-encrypted'}`;
        const path = join(dir, name);
        for (const end of ['', '.pub']) copyFileSync(`${first}${end}`, `${path}${end}`);
        execFileSync('ssh-keygen', ['-q', '-p', '-a', '1', '-m', format, '-P', '', '-N', passphrase, '-f', path]);
        return { name, path, encrypted: passphrase !== '' };
      }),
    );
  });
  // ssh-keygen writes every Ed25519 key in OpenSSH's own format, whatever -m says.
  const fromOpenssl = ['', PASSPHRASE].map((passphrase) => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const encryption = passphrase === '' ? {} : { cipher: 'aes-256-cbc', passphrase };
    const path = join(dir, `ed25519-openssl${passphrase && '-encrypted'}`);
    writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption }), { mode: 0o600 });
    return { name: path, path, encrypted: passphrase !== '' };
  });
  return [...made, ...fromOpenssl];
}

test('logs in to a real sshd with keys of every type and format, with the encrypted ones only when it has the passphrase', async (t) => {
  const dir = await tempDir(t);
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const passphraseFile = join(dir, 'passphrase');
  writeFileSync(passphraseFile, `${PASSPHRASE}\n`, { mode: 0o600 });
  for (const { name, path, encrypted } of everyKey(dir)) {
    const key = parsePrivateKey(readFileSync(path), encrypted ? PASSPHRASE : null, path);
    const blob = key.getPublicSSH().toString('base64');
    if (!name.includes('openssl')) assert.equal(blob, publicLine(path).split(' ')[1], name);
    appendFileSync(sshd.authorizedKeysFile, `${key.type} ${blob}\n`);
    const result = await logIn(specFor({ port: sshd.port, user: sshd.user, identityFiles: [path], passphraseFile }));
    assert.ok(result.ok, `${name}: ${result.message} ${result.errors.join()}`);
    assert.deepEqual(result.errors, []);
    if (encrypted) {
      refuses(path, null, 'key-passphrase', /is encrypted, and there is no passphraseFile/);
      refuses(path, 'battery staple', 'key-passphrase', /passphrase is wrong/);
    }
  }
});

test('reports a wrong passphrase as that, even when the padding looks right by chance', () => {
  const open = (passphrase: string) => () => createPrivateKey({ key: ENCRYPTED, passphrase });
  assert.doesNotThrow(open(PASSPHRASE));
  for (const index of [0, 2, 1, 109, 402, 409, 881, 1510, 2765]) {
    const passphrase = `wrong ${index}`;
    assert.throws(open(passphrase), { message: index === 0 || index === 2 ? /bad decrypt/ : /DECODER.*unsupported/ });
    refusesBytes(Buffer.from(ENCRYPTED), passphrase, 'key-passphrase', /passphrase is wrong/);
  }
});

test("opens keys with every cipher of OpenSSH's format", async (t) => {
  const dir = await tempDir(t);
  for (const cipher of ['aes256-ctr', 'aes256-cbc', 'aes256-gcm@openssh.com', '3des-cbc']) {
    const path = makeKey(dir, cipher, '-t', 'ed25519', '-Z', cipher, '-N', PASSPHRASE);
    assert.equal(parsePrivateKey(readFileSync(path), PASSPHRASE, path).type, 'ssh-ed25519');
    refuses(path, 'battery staple', 'key-passphrase', /passphrase is wrong/);
  }
  const path = makeKey(dir, 'chacha', '-t', 'ed25519', '-Z', 'chacha20-poly1305@openssh.com', '-N', PASSPHRASE);
  refuses(path, PASSPHRASE, 'key-unreadable', /cipher.*ssh-keygen -p -Z aes256-ctr/);
});

test('opens keys with every legacy cipher of PEM', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  for (const cipher of ['aes-256-cbc', 'des-ede3-cbc']) {
    const text = privateKey.export({ type: 'pkcs1', format: 'pem', cipher, passphrase: PASSPHRASE }).toString();
    assert.match(text, /DEK-Info/);
    assert.equal(parsePrivateKey(Buffer.from(text), PASSPHRASE, '/key').type, 'ssh-rsa');
    refusesBytes(Buffer.from(text), 'battery staple', 'key-passphrase', /passphrase is wrong/);
    // Single DES: OpenSSL has it only in a provider that nobody loads.
    const single = text.replace(/DEK-Info: .*/, 'DEK-Info: DES-CBC,0123456789ABCDEF');
    refusesBytes(Buffer.from(single), PASSPHRASE, 'key-unreadable', /cannot be parsed/);
  }
});

test('reads keys with carriage returns, spaces around, or curve parameters in front', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const text = privateKey.export({ type: 'sec1', format: 'pem' }).toString();
  const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';
  for (const variant of [text.replaceAll('\n', '\r\n'), `\n  ${text}\n\n`, parameters + text]) {
    assert.equal(parsePrivateKey(Buffer.from(variant), null, '/key').type, 'ecdsa-sha2-nistp256');
  }
});

test('ignores a passphrase meant for others when a key is open', async (t) => {
  const path = makeKey(await tempDir(t), 'open', '-t', 'ed25519');
  assert.equal(parsePrivateKey(readFileSync(path), PASSPHRASE, path).comment, 'comment of open');
});

test('names what cannot be used, with a way out', async (t) => {
  const dir = await tempDir(t);
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const sk = readFileSync(key, 'utf8');
  const pem = ({ privateKey }: { privateKey: KeyObject }) => privateKey.export({ type: 'pkcs8', format: 'pem' });
  const table: readonly [string | Buffer, RegExp][] = [
    ['', /is empty/],
    [' \n', /is empty/],
    ['hello', /no private key.*ssh-keygen/],
    [Buffer.from([0, 1, 2, 255, 254]), /no private key/],
    [publicLine(key), /is a public key.*private one/],
    ['-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n', /is a public key/],
    ['---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n', /is a public key/],
    ['-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n', /X\.509 certificate/],
    [
      publicLine(key).replace('ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com'),
      /is a certificate.*private key itself/,
    ],
    ['PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n', /PuTTY.*puttygen/],
    [sk.replace(/\n[\s\S]+\n-/, '\nAAAA\n-'), /damaged/],
    [sk.slice(0, 200), /no private key/],
    [withType(sk, 'sk-ssh-ed25519@openssh.com'), /security key.*touch/],
    [withType(sk, 'ssh-dss'), /is a DSA key/],
    ['-----BEGIN DSA PRIVATE KEY-----\nMIIB\n-----END DSA PRIVATE KEY-----\n', /is a DSA key/],
    ['-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n', /cannot be parsed/],
    [pem(generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 })), /is a DSA key/],
    [pem(generateKeyPairSync('rsa-pss', { modulusLength: 1024 })), /type rsa-pss/],
    [pem(generateKeyPairSync('x25519')), /type x25519/],
    [pem(generateKeyPairSync('ec', { namedCurve: 'secp256k1' })), /curve secp256k1/],
  ];
  for (const [content, message] of table) refusesBytes(Buffer.from(content), null, 'key-unreadable', message);
});

test('takes damage in an OpenSSH key for no wrong passphrase', async (t) => {
  const path = makeKey(await tempDir(t), 'key', '-t', 'ed25519');
  const body = Buffer.from(readFileSync(path, 'utf8').replace(/-----.*-----/g, ''), 'base64');
  for (let cut = body.length - 1; cut > 0; cut -= 7) {
    refusesBytes(armour(body.subarray(0, cut)), PASSPHRASE, 'key-unreadable', /damaged|cannot be parsed/);
  }
});

function refuses(path: string, passphrase: string | null, code: FailureCode, message: RegExp): void {
  refusesBytes(readFileSync(path), passphrase, code, message, path);
}

function refusesBytes(
  bytes: Buffer,
  passphrase: string | null,
  code: FailureCode,
  message: RegExp,
  path = '/key',
): void {
  assert.throws(
    () => parsePrivateKey(bytes, passphrase, path),
    (error) => {
      assert.ok(error instanceof TunnelFailure);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.ok(error.message.includes(path));
      assert.ok(passphrase === null || !error.message.includes(passphrase), 'a secret in a message');
      return true;
    },
  );
}

/** The same OpenSSH key file with another type of key written on its public half. */
function withType(text: string, type: string): Buffer {
  const body = Buffer.from(text.replace(/-----.*-----/g, ''), 'base64');
  const blobAt = body.indexOf('ssh-ed25519') - 8;
  const blob = Buffer.alloc(4 + type.length);
  blob.writeUInt32BE(type.length);
  blob.write(type, 4);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(blob.length);
  return armour(Buffer.concat([body.subarray(0, blobAt), length, blob]));
}

function armour(body: Buffer): Buffer {
  return Buffer.from(
    `-----BEGIN OPENSSH PRIVATE KEY-----\n${body.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`,
  );
}

test("names the format and the program that converts it when a key is Dropbear's", async (t) => {
  const dir = await tempDir(t);
  for (const type of ['rsa', 'ecdsa', 'ed25519']) {
    const path = join(dir, type);
    execFileSync('dropbearkey', ['-t', type, '-f', path], { stdio: 'ignore' });
    const found = inspectKeyFile(readFileSync(path));
    assert.match(
      found.kind === 'unsupported' ? found.reason : found.kind,
      /in Dropbear's format: convert it with `dropbearconvert dropbear openssh /,
    );
  }
});
