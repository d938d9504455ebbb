import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { fingerprint } from '../../src/tunnel/known-hosts-key.ts';
import { createLogger } from '../../src/lib/log.ts';
import { createHostKeyJudge } from '../../src/tunnel/host-key.ts';
import type { TunnelSpec } from '../../src/tunnel/spec.ts';
import { pattern, startSource } from '../support/echo.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../support/tunnel.ts';
import { freePort, tempDir, until } from '../support/until.ts';
import { keyText, testKey } from './known-hosts-keys.ts';
import { startPasswordServer } from './fake-server.ts';

const run = promisify(execFile);

describe('host keys', { concurrency: 4 }, () => {
  test('an unknown key: no login, and a message with the fingerprint and the files', async (t) => {
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

  test('a changed key: both fingerprints, and the file and line', async (t) => {
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

  test('a person mends known_hosts: the next attempt sees it', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '');
    const tunnel = startTunnel(t, spec);
    await untilBlocked(tunnel, 'host-key-unknown');
    writeFileSync(files.user, sshd.knownHostsLine());
    tunnel.retryNow();
    await tunnel.untilPhase('up');
  });

  test('a revoked key is refused even by strictHostKeyChecking no', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n@revoked * KEY\n');
    const tunnel = startTunnel(t, { ...spec, strictHostKeyChecking: 'no' });
    const { failure } = await untilBlocked(tunnel, 'host-key-revoked');
    assert.ok(failure?.message.includes(`${files.user}:2`), failure?.message);
    assertNoLogin(sshd, tunnel);
  });

  test('a @cert-authority line is said to be of no use', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '@cert-authority * KEY\n');
    const tunnel = startTunnel(t, spec);
    const { failure } = await untilBlocked(tunnel, 'host-key-unknown');
    assert.match(failure?.message ?? '', /host certificates are not supported/);
    assert.ok(failure?.message.includes(`${files.user}:1`), failure?.message);
    assertNoLogin(sshd, tunnel);
  });

  for (const [title, text, changes] of [
    ['[host]:port', '[127.0.0.1]:PORT KEY\n', {}],
    ['the host without the port', '127.0.0.1 KEY\n', {}],
    ['an alias', 'the-relay KEY\n', { hostKeyAlias: 'The-Relay' }],
  ] as const) {
    test(`known under ${title}`, async (t) => {
      const { spec, files } = await serverAndSpec(t, text);
      const before = readFileSync(files.user, 'utf8');
      await startTunnel(t, { ...spec, ...changes }).untilPhase('up');
      assert.equal(readFileSync(files.user, 'utf8'), before);
    });
  }

  test('known under a hashed name', async (t) => {
    const { spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
    execFileSync('ssh-keygen', ['-H', '-f', files.user], { stdio: 'ignore' });
    assert.match(readFileSync(files.user, 'utf8'), /^\|1\|/);
    await startTunnel(t, spec).untilPhase('up');
  });

  test('known in the global file', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
    const none = join(sshd.dir, 'none');
    const global = { userKnownHostsFiles: [none], globalKnownHostsFiles: [files.user] };
    await startTunnel(t, { ...spec, ...global }).untilPhase('up');
    assert.equal(existsSync(none), false);
  });

  test('an alias that is not known is named in the message', async (t) => {
    const { spec } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
    const tunnel = startTunnel(t, { ...spec, hostKeyAlias: 'other-name' });
    const { failure } = await untilBlocked(tunnel, 'host-key-unknown');
    assert.match(failure?.message ?? '', /^other-name shows /);
  });

  test('known by its ecdsa key, a server with others too shows that one', async (t) => {
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
  test('writes one line, which ssh accepts; a changed key is refused afterwards', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, null);
    const tunnel = startTunnel(t, { ...spec, strictHostKeyChecking: 'accept-new' });
    await tunnel.untilPhase('up');
    assert.equal(readFileSync(files.user, 'utf8'), sshd.knownHostsLine());
    const accepted = tunnel.lines.filter((line) => /accepted as new/.test(String(line['msg'])));
    assert.equal(accepted.length, 1);
    await tunnel.stop();

    const options = ['StrictHostKeyChecking=yes', `UserKnownHostsFile=${files.user}`, 'GlobalKnownHostsFile=none'];
    const flags = ['BatchMode=yes', 'IdentitiesOnly=yes', ...options].flatMap((option) => ['-o', option]);
    const who = ['-i', sshd.clientKey, '-p', String(sshd.port), '-l', sshd.user];
    assert.equal((await run('ssh', ['-F', 'none', ...flags, ...who, '127.0.0.1', 'echo hello'])).stdout, 'hello\n');

    await replaceHostKey(sshd);
    const again = startTunnel(t, { ...spec, strictHostKeyChecking: 'accept-new' });
    await untilBlocked(again, 'host-key-changed');
    assert.equal(readFileSync(files.user, 'utf8').trimEnd().split('\n').length, 1);
  });

  test('a known_hosts that cannot be written is a warning', async (t) => {
    const { sshd, spec } = await serverAndSpec(t, null);
    const file = join(sshd.dir, 'no', 'such', 'folder', 'known_hosts');
    const tunnel = startTunnel(t, { ...spec, userKnownHostsFiles: [file], strictHostKeyChecking: 'accept-new' });
    await tunnel.untilPhase('up');
    await untilWarned(tunnel, /not kept: cannot add a host key to .*known_hosts/);
  });

  test('a known_hosts that cannot be read accepts nothing', async (t) => {
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

test('strictHostKeyChecking no warns at every connection and keeps the password back', async (t) => {
  const password = join(await tempDir(t), 'password');
  writeFileSync(password, 'top-secret\n');
  chmodSync(password, 0o600);
  const { sshd, spec, files } = await serverAndSpec(t, '');
  const server = await startPasswordServer(t, sshd);
  const changes = { port: server.port, identityFiles: [], passwordFile: password, userKnownHostsFiles: [files.user] };
  const careless = startTunnel(t, { ...spec, ...changes, strictHostKeyChecking: 'no' });
  const { failure } = await untilBlocked(careless, 'auth-rejected');
  assert.match(failure?.message ?? '', /the password was kept back because the server's host key is not known/);
  const warnings = () => careless.lines.filter((line) => /connecting all the same/.test(String(line['msg'])));
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

describe('updateHostKeys', { concurrency: 4 }, () => {
  test('learns the further keys of the server, and still knows it when it has only one of those', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT ECDSA\n', {
      hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'],
    });
    const tunnel = startTunnel(t, spec);
    await tunnel.untilPhase('up');
    await until(() => /further host keys/.test(JSON.stringify(tunnel.lines)), { what: 'the news of further keys' });
    const known = readFileSync(files.user, 'utf8').trimEnd().split('\n');
    assert.deepEqual(known.toSorted(), sshd.knownHostsLine().trimEnd().split('\n').toSorted());

    // The server drops all keys but one that was learnt.
    const config = join(sshd.dir, 'sshd_config');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace(/^HostKey .*host_(ecdsa|ed25519)$/gm, ''));
    await sshd.restart();
    await until(() => tunnel.state().phase !== 'up', { what: 'the end of the old session' });
    await tunnel.untilPhase('up');
    assert.equal(readFileSync(files.user, 'utf8').trimEnd().split('\n').length, 3);
  });

  test('a server known without its port is still the same server after it taught us', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '127.0.0.1 ED25519\n', {
      hostKeyTypes: ['ed25519', 'ecdsa'],
      config: ['RekeyLimit 1M', 'LogLevel DEBUG1'],
    });
    const source = await startSource(3_000_000);
    t.after(() => source.close());
    const port = await freePort();
    const tunnel = startTunnel(t, { ...spec, forwards: specFor(sshd, [[port, source.port]]).forwards });
    await tunnel.untilPhase('up');
    await until(() => readFileSync(files.user, 'utf8').split('\n').length > 2, { what: 'the lines learnt' });
    assert.equal((await buffer(connect(port, '127.0.0.1').end())).length, 3_000_000);
    assert.ok(rekeys(sshd) > 0);
    assert.equal(tunnel.state().phase, 'up');
    assert.equal(tunnel.state().failure, null);
  });

  test('off, and with a server that was let in unrecognised: nothing is written', async (t) => {
    const { spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT ECDSA\n', { hostKeyTypes: ['ed25519', 'ecdsa'] });
    const before = readFileSync(files.user, 'utf8');
    const off = startTunnel(t, { ...spec, updateHostKeys: false });
    await off.untilPhase('up');
    await off.stop();
    const empty = `${files.user}-2`;
    const careless = startTunnel(t, { ...spec, userKnownHostsFiles: [empty], strictHostKeyChecking: 'no' });
    await careless.untilPhase('up');
    await careless.stop();
    assert.equal(readFileSync(files.user, 'utf8'), before);
    assert.equal(existsSync(empty), false);
  });

  test('a server teaches once a connection', async (t) => {
    const { spec, files } = await serverAndSpec(t, null);
    const known = testKey('ssh-ed25519', 'known');
    writeFileSync(files.user, `[127.0.0.1]:${spec.port} ${keyText(known)}\n`);
    const judge = await createHostKeyJudge(
      spec,
      createLogger('fatal', () => {}),
    );
    assert.equal(judge.verify(known), null);
    await judge.learn([testKey('ssh-ed25519', '2')]);
    await judge.learn([testKey('ssh-ed25519', '3')]);
    assert.equal(readFileSync(files.user, 'utf8').trimEnd().split('\n').length, 2);
  });
});

test('the server renews its keys in the middle of a transfer', async (t) => {
  const { sshd, spec } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n', {
    config: ['RekeyLimit 1M', 'LogLevel DEBUG1'],
  });
  const bytes = 8_000_000;
  const source = await startSource(bytes);
  t.after(() => source.close());
  const port = await freePort();
  const tunnel = startTunnel(
    t,
    specFor(sshd, [[port, source.port]], { userKnownHostsFiles: spec.userKnownHostsFiles }),
  );
  await tunnel.untilPhase('up');
  const received = await buffer(connect(port, '127.0.0.1').end());
  assert.ok(received.equals(pattern(0, bytes)));
  assert.ok(rekeys(sshd) >= 2, `${rekeys(sshd)} rekeys`);
  assert.equal(tunnel.state().failure, null);
  assert.equal(sshd.log().match(/Accepted publickey/g)?.length, 1);
});

function rekeys(sshd: TestSshd): number {
  return sshd.log().match(/ssh_set_newkeys: rekeying out/g)?.length ?? 0;
}

interface Fixture {
  readonly sshd: TestSshd;
  readonly spec: TunnelSpec;
  readonly files: { readonly user: string };
}

/** A server, and a tunnel to it whose known_hosts holds the text (null: does not exist): KEY is its first key, PORT its port. */
async function serverAndSpec(t: TestContext, text: string | null, options?: SshdOptions): Promise<Fixture> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  const user = join(sshd.dir, 'user_known_hosts');
  if (text !== null) {
    const keys = sshd.hostKeys.map(({ type, publicKey }) => [type.toUpperCase(), publicKey] as const);
    const parts = [['KEY', sshd.hostKeys[0]?.publicKey ?? ''], ['PORT', String(sshd.port)], ...keys] as const;
    const names = new RegExp(parts.map(([name]) => `\\b${name}\\b`).join('|'), 'g');
    writeFileSync(
      user,
      text.replace(names, (name) => parts.find(([known]) => known === name)?.[1] ?? name),
    );
  }
  const spec = specFor(sshd, [[await freePort(), 1]], { userKnownHostsFiles: [user] });
  return { sshd, spec, files: { user } };
}

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
  assert.ok(retryAt !== null && retryAt - Date.now() > 50_000, `retry in ${(retryAt ?? 0) - Date.now()} ms`);
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
