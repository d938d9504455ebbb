import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KEY_KINDS, logIn, makeKey, publicLine, specFor, startAgent } from '../../support/login.ts';
import { startSshd } from '../../support/sshd.ts';
import { removeAtExit, tempDir } from '../../support/until.ts';
import { tmpdir } from 'node:os';
import { SecurityKey, startKeyAgent } from './security-key-agent.ts';

const dir = mkdtempSync(join(tmpdir(), 'tunneld-certificates-'));
removeAtExit(dir);
let ca = makeKey(dir, 'ca', '-t', 'ed25519');
const sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`] });
writeFileSync(sshd.authorizedKeysFile, '');

after(() => sshd.stop());

for (const [type, bits] of KEY_KINDS) {
  test(`logs in with a certificate of ${type} ${bits} when a file or an agent has the key`, async (t) => {
    const key = makeKey(dir, `${type}${bits}`, '-t', type, '-b', bits);
    certify(key, sshd.user);
    const spec = specFor({ port: sshd.port, user: sshd.user });
    const beside = await logIn({ ...spec, identityFiles: [key] });
    assert.ok(beside.ok, beside.message);
    assert.deepEqual(
      beside.report.offers.map((offer) => offer.key?.certificate?.file ?? 'plain'),
      ['plain', `${key}-cert.pub`],
    );
    const moved = join(dir, `${type}${bits}.moved`);
    renameSync(`${key}-cert.pub`, moved);
    const named = await logIn({ ...spec, identityFiles: [key], certificateFiles: [moved] });
    assert.ok(named.ok, named.message);
    assert.equal(named.report.offers.length, 1);
    const agentOfKey = await startAgent(t, await tempDir(t), [key]);
    const byAgent = await logIn({ ...spec, identityAgent: agentOfKey, certificateFiles: [moved] });
    assert.ok(byAgent.ok, byAgent.message);
    renameSync(moved, `${key}-cert.pub`);
    const agentOfBoth = await startAgent(t, await tempDir(t), [key]);
    execFileSync('ssh-add', ['-q', '-d', `${key}.pub`], {
      env: { ...process.env, SSH_AUTH_SOCK: agentOfBoth },
      stdio: 'ignore',
    });
    execFileSync('ssh-add', ['-q', key], { env: { ...process.env, SSH_AUTH_SOCK: agentOfBoth } });
    const held = await logIn({ ...spec, identityAgent: agentOfBoth });
    assert.ok(held.ok, held.message);
    assert.deepEqual(held.report.offers.at(-1)?.key?.certificate?.file, null);
  });
}

test('signs with the hash that the server accepts when the certificate is of RSA', async (t) => {
  const key = makeKey(dir, 'rsa-hash', '-t', 'rsa', '-b', '2048');
  certify(key, sshd.user);
  for (const hash of ['256', '512']) {
    const picky = await startSshd({
      config: [
        `TrustedUserCAKeys ${ca}.pub`,
        `PubkeyAcceptedAlgorithms rsa-sha2-${hash},rsa-sha2-${hash}-cert-v01@openssh.com`,
      ],
    });
    t.after(() => picky.stop());
    const spec = specFor({ port: picky.port, user: picky.user, certificateFiles: [`${key}-cert.pub`] });
    for (const wanted of ['256', '512']) {
      const pubkeyAcceptedAlgorithms = [`rsa-sha2-${wanted}-cert-v01@openssh.com`];
      const identityAgent = await startAgent(t, await tempDir(t), [key]);
      for (const way of [{ identityFiles: [key] }, { identityAgent }]) {
        const result = await logIn({ ...spec, ...way, pubkeyAcceptedAlgorithms });
        assert.equal(result.ok, hash === wanted, result.message);
      }
    }
  }
});

test('says why a certificate was refused, and reads it anew, when it is renewed between two logins', async () => {
  const key = makeKey(dir, 'renewed', '-t', 'ed25519');
  certify(key, sshd.user, '-V', '20200101:20200102');
  const spec = specFor({ port: sshd.port, user: sshd.user, identityFiles: [key] });
  const before = await logIn(spec);
  assert.equal(before.ok, false);
  assert.match(before.message, /renewed-cert\.pub expired at 2020-01-0\d \d\d:\d\d:\d\d UTC, \d+ days ago/);
  certify(key, sshd.user, '-V', '20990101:20990102');
  assert.match((await logIn(spec)).message, /renewed-cert\.pub is not valid before 20(?:98|99)-.* clocks wrong/);
  certify(key, 'somebody,else');
  assert.match((await logIn(spec)).message, /is for somebody,else and not for \w+: .*AuthorizedPrincipalsFile/);
  const ours = ca;
  ca = makeKey(dir, 'unknown-ca', '-t', 'ed25519');
  certify(key, sshd.user);
  assert.match((await logIn(spec)).message, /as far as this device can see; perhaps .*TrustedUserCAKeys/);
  ca = ours;
  certify(key, sshd.user);
  const afterwards = await logIn(spec);
  assert.ok(afterwards.ok, afterwards.message);
});

test('offers no certificate when it is damaged, of a host, of another key or not allowed', async () => {
  const key = makeKey(dir, 'odd', '-t', 'ed25519');
  const other = makeKey(dir, 'odd-other', '-t', 'ed25519');
  const spec = specFor({ port: sshd.port, user: sshd.user, identityFiles: [key] });
  const refused = async (reason: RegExp, changes = {}) => {
    const result = await logIn({ ...spec, ...changes });
    assert.equal(
      result.report.offers.some((offer) => offer.key?.certificate !== undefined),
      false,
    );
    assert.match(result.message, reason);
  };
  certify(key, sshd.user, '-h');
  await refused(/odd-cert\.pub is a host certificate/);
  certify(other, sshd.user);
  copyFileSync(`${other}-cert.pub`, `${key}-cert.pub`);
  await refused(/odd-cert\.pub is not offered: it is for another key/);
  await refused(/odd-other-cert\.pub has no private key here/, { certificateFiles: [`${other}-cert.pub`] });
  writeFileSync(`${key}-cert.pub`, 'ssh-ed25519-cert-v01@openssh.com AAAAinvalid');
  await refused(/odd-cert\.pub is a damaged certificate/);
  rmSync(`${key}-cert.pub`);
  await refused(/certificateFile .*missing does not exist/, { certificateFiles: [join(dir, 'missing')] });
  certify(key, sshd.user);
  await refused(/pubkeyAcceptedAlgorithms allows none of ssh-ed25519-cert-v01@openssh\.com/, {
    pubkeyAcceptedAlgorithms: ['ssh-ed25519'],
  });
});

test('logs in with security keys of an agent when the server does not require a touch', async (t) => {
  const keys = [new SecurityKey('ed25519'), new SecurityKey('ecdsa')];
  for (const key of keys) {
    const socket = await startKeyAgent(t, join(await tempDir(t), 'agent.sock'), [key]);
    const spec = specFor({ port: sshd.port, user: sshd.user, identityAgent: socket });
    writeFileSync(sshd.authorizedKeysFile, key.line('no-touch-required'));
    const result = await logIn(spec);
    assert.ok(result.ok, result.message);
    writeFileSync(sshd.authorizedKeysFile, key.line('no-pty'));
    const untouched = await logIn(spec);
    assert.equal(untouched.ok, false);
    assert.match(untouched.message, /no-touch-required/);
    writeFileSync(sshd.authorizedKeysFile, '');
  }
});

test('logs in with the certificate of a security key when it says that no touch is required', async (t) => {
  for (const key of [new SecurityKey('ed25519'), new SecurityKey('ecdsa')]) {
    const folder = await tempDir(t);
    const file = join(folder, 'id_sk');
    writeFileSync(`${file}.pub`, key.line('').trimStart());
    certify(file, sshd.user, '-O', 'no-touch-required');
    const socket = await startKeyAgent(t, join(folder, 'agent.sock'), [key]);
    const spec = specFor({ port: sshd.port, user: sshd.user, identityAgent: socket });
    const result = await logIn({ ...spec, certificateFiles: [`${file}-cert.pub`] });
    assert.ok(result.ok, result.message);
  }
});

test('names what an agent holds when it holds nothing that can be used', async (t) => {
  const folder = await tempDir(t);
  const host = makeKey(folder, 'host', '-t', 'ed25519');
  certify(host, 'example.org', '-h');
  const blobs = [blobOf(`${host}-cert.pub`), Buffer.from('00000007737368 2d647373'.replaceAll(' ', ''), 'hex')];
  const socket = await startKeyAgent(t, join(folder, 'agent.sock'), [], blobs);
  const spec = specFor({ port: sshd.port, user: sshd.user, identityAgent: socket });
  const result = await logIn(spec);
  assert.match(
    result.message,
    /nothing to offer .*agent\.sock holds only what cannot be used to log in: a host certificate SHA256:\S+ \(number 0\), ssh-dss/,
  );
  const empty = await startKeyAgent(t, join(folder, 'empty.sock'), []);
  assert.match((await logIn({ ...spec, identityAgent: empty })).message, /empty\.sock holds no key/);
  const full = await startKeyAgent(t, join(folder, 'full.sock'), [new SecurityKey('ed25519')]);
  assert.match(
    (await logIn({ ...spec, identityAgent: full, identitiesOnly: true })).message,
    /full\.sock holds one key, none of them of identityFile, and identitiesOnly is yes/,
  );
});

function certify(key: string, principals: string, ...options: readonly string[]): void {
  execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'device', '-n', principals, ...options, `${key}.pub`]);
}

function blobOf(file: string): Buffer {
  return Buffer.from(publicLine(file.replace(/\.pub$/, '')).split(' ')[1] ?? '', 'base64');
}
