import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { createLogger } from '../../../src/lib/log/log.ts';
import { prepareHostKeyVerifier } from '../../../src/connection/known-hosts/host-key-verifier.ts';
import { fingerprint } from '../../../src/connection/known-hosts/key-blob.ts';
import { countTicks } from '../../support/loop-delay.ts';
import type { TestSshd } from '../../support/sshd.ts';
import { startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { tempDir, until } from '../../support/until.ts';
import { startPasswordServer } from '../../support/fake-server.ts';
import { serverAndSpec } from '../../support/host-key-fixture.ts';
import { keyText, testKey } from '../../support/known-hosts-keys.ts';

const run = promisify(execFile);

describe('host keys', { concurrency: 4 }, () => {
  test('refuses the login when the key is unknown, and names fingerprint and files', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '');
    const tunnel = startTunnel(t, { ...spec, globalKnownHostsFiles: [join(sshd.dir, 'nowhere')] });
    const { failure, retryAt } = await untilBlocked(tunnel, 'host-key-unknown');
    assert.ok(failure?.message.includes(fingerprintOf(sshd, 'ed25519')), failure?.message);
    assert.ok(failure?.message.includes(`[127.0.0.1]:${sshd.port} shows ssh-ed25519`), failure?.message);
    for (const file of [files.user, join(sshd.dir, 'nowhere')]) assert.ok(failure?.message.includes(file), file);
    assert.match(failure?.hint ?? '', /ssh-keygen -lf/);
    assertSlow(retryAt);
    assertNoLogin(sshd, tunnel);
    assert.equal(readFileSync(files.user, 'utf8'), '');
  });

  test('refuses the login when the key has changed, and names both fingerprints, file and line', async (t) => {
    const other = testKey('ssh-ed25519', 'other');
    const { sshd, spec, files } = await serverAndSpec(t, `# a comment\n[127.0.0.1]:PORT ${keyText(other)}\n`);
    const tunnel = startTunnel(t, { ...spec, strictHostKeyChecking: 'accept-new' });
    const { failure, retryAt } = await untilBlocked(tunnel, 'host-key-changed');
    for (const part of [fingerprintOf(sshd, 'ed25519'), fingerprint(other), `${files.user}:2`]) {
      assert.ok(failure?.message.includes(part), `${part} in ${failure?.message}`);
    }
    assertSlow(retryAt);
    assertNoLogin(sshd, tunnel);
  });

  test('sees at the next attempt that known_hosts was mended', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '');
    const tunnel = startTunnel(t, spec);
    await untilBlocked(tunnel, 'host-key-unknown');
    writeFileSync(files.user, sshd.knownHostsLine());
    tunnel.retryNow();
    await tunnel.untilPhase('up');
  });

  test('finds a host among 25,000 hashed lines while the event loop goes on', async (t) => {
    const hashed = (name: string) => {
      const salt = randomBytes(20);
      return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
    };
    const other = keyText(testKey('ssh-ed25519', 'other'));
    const { spec, files, sshd } = await serverAndSpec(t, '');
    const lines = Array.from({ length: 25_000 }, (_, index) => `${hashed(`host${index}`)} ${other}`);
    const ours = `${hashed(`[127.0.0.1]:${sshd.port}`)} ${sshd.hostKeys[0]?.publicKey}`;
    writeFileSync(files.user, [...lines, ours, ''].join('\n'));
    const turns = countTicks();
    const judge = await prepareHostKeyVerifier(
      spec,
      createLogger('fatal', () => {}),
    );
    // A quarter of a second of work, in pieces of 5 ms.
    assert.ok(turns() >= 20);
    assert.deepEqual(judge.knownKeyTypes, ['ssh-ed25519']);
    assert.equal(judge.verify(Buffer.from(sshd.hostKeys[0]?.publicKey.split(' ')[1] ?? '', 'base64')), null);
    assert.equal(judge.verify(testKey('ssh-ed25519', 'other'))?.code, 'host-key-changed');
  });

  test('refuses a revoked key when strictHostKeyChecking is no, too', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n@revoked * KEY\n');
    const tunnel = startTunnel(t, { ...spec, strictHostKeyChecking: 'no' });
    const { failure } = await untilBlocked(tunnel, 'host-key-revoked');
    assert.ok(failure?.message.includes(`${files.user}:2`), failure?.message);
    assertNoLogin(sshd, tunnel);
  });

  test('says that the server has no certificate for a @cert-authority line', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '@cert-authority * KEY\n');
    const tunnel = startTunnel(t, spec);
    const { failure } = await untilBlocked(tunnel, 'host-key-unknown');
    assert.match(failure?.message ?? '', /it has no certificate of the kinds that hostKeyAlgorithms allows/);
    assert.ok(failure?.message.includes(`${files.user}:1`), failure?.message);
    assertNoLogin(sshd, tunnel);
  });

  for (const [title, text, changes] of [
    ['[host]:port', '[127.0.0.1]:PORT KEY\n', {}],
    ['the host without the port', '127.0.0.1 KEY\n', {}],
    ['an alias', 'the-relay KEY\n', { hostKeyAlias: 'The-Relay' }],
  ] as const) {
    test(`finds the key under ${title}`, async (t) => {
      const { spec, files } = await serverAndSpec(t, text);
      const before = readFileSync(files.user, 'utf8');
      await startTunnel(t, { ...spec, ...changes }).untilPhase('up');
      assert.equal(readFileSync(files.user, 'utf8'), before);
    });
  }

  test('finds the key when its name is hashed', async (t) => {
    const { spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
    execFileSync('ssh-keygen', ['-H', '-f', files.user], { stdio: 'ignore' });
    assert.match(readFileSync(files.user, 'utf8'), /^\|1\|/);
    await startTunnel(t, spec).untilPhase('up');
  });

  test('finds the key when it is in the global file', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
    const none = join(sshd.dir, 'none');
    const global = { userKnownHostsFiles: [none], globalKnownHostsFiles: [files.user] };
    await startTunnel(t, { ...spec, ...global }).untilPhase('up');
    assert.equal(existsSync(none), false);
  });

  test('names the alias when it is not known', async (t) => {
    const { spec } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
    const tunnel = startTunnel(t, { ...spec, hostKeyAlias: 'other-name' });
    const { failure } = await untilBlocked(tunnel, 'host-key-unknown');
    assert.match(failure?.message ?? '', /^other-name shows /);
  });

  test('asks for the ecdsa key when that is the known one of several', async (t) => {
    const options = { hostKeyTypes: ['rsa', 'ed25519', 'ecdsa'] } as const;
    for (const type of ['ecdsa', 'rsa'] as const) {
      const { sshd, spec } = await serverAndSpec(t, `[127.0.0.1]:PORT ${type.toUpperCase()}\n`, options);
      const tunnel = startTunnel(t, { ...spec, updateHostKeys: false });
      await tunnel.untilPhase('up');
      await tunnel.stop();
      await sshd.stop();
    }
  });
});

describe('accept-new', { concurrency: 4 }, () => {
  test('writes one line when the key is new, which ssh accepts, and refuses a changed key afterwards', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, null);
    const tunnel = startTunnel(t, { ...spec, strictHostKeyChecking: 'accept-new' });
    await tunnel.untilPhase('up');
    const accepted = () => tunnel.lines.filter((line) => /accepted as new.*written to/.test(String(line['msg'])));
    await until(() => accepted().length > 0, { what: 'the news of the key' });
    assert.equal(readFileSync(files.user, 'utf8'), sshd.knownHostsLine());
    await tunnel.stop();
    assert.equal(accepted().length, 1);

    const options = ['StrictHostKeyChecking=yes', `UserKnownHostsFile=${files.user}`, 'GlobalKnownHostsFile=none'];
    const flags = ['BatchMode=yes', 'IdentitiesOnly=yes', ...options].flatMap((option) => ['-o', option]);
    const who = ['-i', sshd.clientKey, '-p', String(sshd.port), '-l', sshd.user];
    assert.equal((await run('ssh', ['-F', 'none', ...flags, ...who, '127.0.0.1', 'echo hello'])).stdout, 'hello\n');

    await replaceHostKey(sshd);
    const again = startTunnel(t, { ...spec, strictHostKeyChecking: 'accept-new' });
    await untilBlocked(again, 'host-key-changed');
    assert.equal(readFileSync(files.user, 'utf8').trimEnd().split('\n').length, 1);
  });

  test('warns when known_hosts cannot be written', async (t) => {
    const { sshd, spec } = await serverAndSpec(t, null);
    const file = join(sshd.dir, 'no', 'such', 'folder', 'known_hosts');
    const tunnel = startTunnel(t, { ...spec, userKnownHostsFiles: [file], strictHostKeyChecking: 'accept-new' });
    await tunnel.untilPhase('up');
    await untilWarned(tunnel, /not kept: cannot add a host key to .*known_hosts/);
  });

  test('accepts nothing when known_hosts cannot be read', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, null);
    const tunnel = startTunnel(t, {
      ...spec,
      userKnownHostsFiles: [files.user, sshd.dir],
      strictHostKeyChecking: 'accept-new',
    });
    const { failure } = await untilBlocked(tunnel, 'host-key-unknown');
    assert.match(failure?.message ?? '', /cannot be read: it is a directory/);
    assert.equal(existsSync(files.user), false);
    assertNoLogin(sshd, tunnel);
  });
});

test('warns at every connection, and sends no password, when strictHostKeyChecking is no', async (t) => {
  const password = join(await tempDir(t), 'password');
  writeFileSync(password, 'top-secret\n');
  chmodSync(password, 0o600);
  const { sshd, spec, files } = await serverAndSpec(t, '');
  const server = await startPasswordServer(t, sshd);
  const changes = { port: server.port, identityFiles: [], passwordFile: password, userKnownHostsFiles: [files.user] };
  const careless = startTunnel(t, { ...spec, ...changes, strictHostKeyChecking: 'no' });
  const { failure } = await untilBlocked(careless, 'host-key-unknown');
  assert.match(failure?.message ?? '', /the password was withheld because the server's host key is unknown/);
  const warnings = () => careless.lines.filter((line) => /connecting anyway/.test(String(line['msg'])));
  assert.equal(warnings().length, 1);
  careless.retryNow();
  await until(() => warnings().length === 2, { what: 'a second warning' });
  await careless.stop();
  assert.deepEqual(server.passwords(), []);

  writeFileSync(files.user, sshd.knownHostsLine('127.0.0.1', server.port));
  const careful = startTunnel(t, { ...spec, ...changes, strictHostKeyChecking: 'no' });
  await until(() => server.passwords().length > 0, { what: 'the password at the known server' });
  assert.deepEqual(server.passwords(), ['top-secret']);
  assert.ok(!JSON.stringify([careful.lines, careless.lines]).includes('top-secret'));
});

test('refuses a changed key when strictHostKeyChecking is no, too', async (t) => {
  const { sshd, spec } = await serverAndSpec(t, `[127.0.0.1]:PORT ${keyText(testKey('ssh-ed25519', 'other'))}\n`);
  const tunnel = startTunnel(t, { ...spec, strictHostKeyChecking: 'no' });
  await untilBlocked(tunnel, 'host-key-changed');
  assertNoLogin(sshd, tunnel);
});

test('keeps what stands within the bound when known_hosts grows beyond it', async (t) => {
  const { spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
  appendFileSync(files.user, `flood.example ${keyText(testKey('ssh-ed25519', 'flood'))}\n`.repeat(50_000));
  const tunnel = startTunnel(t, spec);
  await tunnel.untilPhase('up');
});

function fingerprintOf(sshd: TestSshd, type: string): string {
  const file = sshd.hostKeys.find((key) => key.type === type)?.file;
  return execFileSync('ssh-keygen', ['-lf', `${file}.pub`], { encoding: 'utf8' }).split(' ')[1] ?? '';
}

async function untilBlocked(tunnel: TestTunnel, code: string) {
  const state = await tunnel.untilPhase('blocked');
  assert.equal(state.failure?.code, code, state.failure?.message);
  return state;
}

/** A person must act: a minute or more. */
function assertSlow(retryAt: number | null): void {
  assert.ok(
    retryAt !== null && retryAt - performance.now() > 50_000,
    `retry in ${(retryAt ?? 0) - performance.now()} ms`,
  );
}

function assertNoLogin(sshd: TestSshd, tunnel: TestTunnel): void {
  assert.deepEqual(tunnel.phases, ['connecting', 'blocked']);
  assert.doesNotMatch(sshd.log(), /Accepted|Failed publickey|Postponed/);
}

async function untilWarned(tunnel: TestTunnel, text: RegExp): Promise<void> {
  const warned = () => tunnel.lines.some((line) => line['level'] === 40 && text.test(String(line['msg'])));
  await until(warned, { what: () => `a warning ${text} in ${JSON.stringify(tunnel.lines)}` });
}

async function replaceHostKey(sshd: TestSshd): Promise<void> {
  const file = sshd.hostKeys[0]?.file ?? '';
  execFileSync('sh', ['-c', `rm -f "$0" "$0.pub"; ssh-keygen -q -t ed25519 -N '' -f "$0"`, file]);
  await sshd.restart();
}
