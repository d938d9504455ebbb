import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { ownersAt } from '../../../src/forwarding/listeners/owners.ts';
import type { ForwardSpec, TunnelSpec } from '../../../src/model/spec.ts';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { ownerMemory, NO_MACHINE, specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { startFakeSsh } from '../../support/fake-server.ts';

const MINUTE = 60_000;

describe('what only a person can mend', { concurrency: 4 }, () => {
  test('is blocked when the key is rejected, says which user and key, and leaves other tunnels up', async (t) => {
    const sshd = await server(t);
    const stranger = makeKey(sshd, 'stranger');
    const fine = await start(t, sshd);
    const tunnel = await start(t, sshd, { identityFiles: [stranger] });
    const { failure, retryAt } = await untilBlocked(tunnel, 'auth-rejected');
    const message = failure?.message ?? '';
    for (const part of [sshd.user, `127.0.0.1:${sshd.port}`, fingerprintOf(stranger), stranger, 'publickey']) {
      assert.ok(message.includes(part), `${part} in ${message}`);
    }
    assert.match(failure?.hint ?? '', /authorized_keys/);
    assertRetryIn(retryAt, 4.5 * MINUTE, 5.5 * MINUTE);
    await fine.untilPhase('up');

    appendFileSync(sshd.authorizedKeysFile, readFileSync(`${stranger}.pub`));
    tunnel.retryNow();
    await tunnel.untilPhase('up');
    assert.equal(fine.state().phase, 'up');
    assert.deepEqual(fine.phases, ['connecting', 'authenticating', 'forwarding', 'up']);
  });

  test('names commands to paste, whatever the user is called, when the server says that an account has expired', async (t) => {
    const banner = join(await tempDir(t), 'banner');
    writeFileSync(banner, 'Your account has expired\n');
    const tunnel = await start(t, await server(t, { config: [`Banner ${banner}`] }), { user: 'corp\\joe' });
    const { failure } = await untilBlocked(tunnel, 'auth-rejected');
    assert.match(failure?.hint ?? '', /`sudo chage -l 'corp\\joe'`.*`sudo chage -E -1 -M -1 'corp\\joe'`/);
  });

  test('is blocked when the server takes no more keys', async (t) => {
    const sshd = await server(t, { config: ['MaxAuthTries 2'] });
    const strangers = ['a', 'b', 'c', 'd'].map((name) => makeKey(sshd, name));
    const tunnel = await start(t, sshd, { identityFiles: strangers });
    const { failure } = await untilBlocked(tunnel, 'auth-rejected');
    assert.match(failure?.message ?? '', /Too many authentication failures/);
    assert.ok(failure?.message.includes(fingerprintOf(strangers[0] ?? '')), failure?.message);
  });

  test('is blocked when a server says in its own words that there were too many attempts', async (t) => {
    const sshd = await server(t);
    const fake = await startFakeSsh(t, sshd, (connection) =>
      connection.on('authentication', () => {
        // RFC 4250 section 4.2.2: 14 is SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE.
        (connection as unknown as { _protocol: { disconnect(reason: number): void } })._protocol.disconnect(14);
      }),
    );
    const tunnel = await start(t, sshd, { port: fake.port });
    await untilBlocked(tunnel, 'auth-rejected');
  });

  test('is blocked when the key file is missing', async (t) => {
    const sshd = await server(t);
    const key = join(sshd.dir, 'missing');
    const tunnel = await start(t, sshd, { identityFiles: [key] });
    const { failure, retryAt } = await untilBlocked(tunnel, 'key-unreadable');
    assert.ok(failure?.message.includes(key), failure?.message);
    assertRetryIn(retryAt, 0.9 * MINUTE, 1.1 * MINUTE);
    assert.doesNotMatch(sshd.log(), /Connection from/, 'the server was not bothered');
    copyFileSync(sshd.clientKey, key);
    chmodSync(key, 0o600);
    tunnel.retryNow();
    await tunnel.untilPhase('up');
  });

  test('is blocked when others may read the key', async (t) => {
    const sshd = await server(t);
    chmodSync(sshd.clientKey, 0o644);
    const tunnel = await start(t, sshd);
    const { failure } = await untilBlocked(tunnel, 'key-unreadable');
    assert.ok(failure?.message.includes(sshd.clientKey), failure?.message);
    chmodSync(sshd.clientKey, 0o600);
    tunnel.retryNow();
    await tunnel.untilPhase('up');
  });

  test('is blocked while the passphrase is missing or wrong, and up with the right one', async (t) => {
    const sshd = await server(t);
    const passphraseFile = join(sshd.dir, 'passphrase');
    const writePassphrase = (text: string) => writeFileSync(passphraseFile, `${text}\n`, { mode: 0o600 });
    execFileSync('ssh-keygen', ['-q', '-p', '-a', '1', '-P', '', '-N', 'open sesame', '-f', sshd.clientKey]);
    const without = await start(t, sshd);
    const { failure, retryAt } = await untilBlocked(without, 'key-passphrase');
    assert.ok(failure?.message.includes(sshd.clientKey), failure?.message);
    assertRetryIn(retryAt, 0.9 * MINUTE, 1.1 * MINUTE);
    await without.stop();

    writePassphrase('open barley');
    const tunnel = await start(t, sshd, { passphraseFile });
    await untilBlocked(tunnel, 'key-passphrase');
    writePassphrase('open sesame');
    tunnel.retryNow();
    await tunnel.untilPhase('up');
    assert.doesNotMatch(JSON.stringify([tunnel.lines, without.lines]), /open (sesame|barley)/);
  });

  test('is blocked when no algorithm is in common', async (t) => {
    const sshd = await server(t, { config: ['Ciphers aes256-ctr'] });
    const tunnel = await start(t, sshd, { ciphers: ['aes128-gcm@openssh.com'] });
    const { failure } = await untilBlocked(tunnel, 'no-common-algorithm');
    assert.match(failure?.message ?? '', /cipher/);
  });

  test('is blocked when the key of a tunnel that was up is taken away', async (t) => {
    const sshd = await server(t);
    const tunnel = await start(t, sshd);
    await tunnel.untilPhase('up');
    writeFileSync(sshd.authorizedKeysFile, '');
    sshd.killSessions();
    await untilBlocked(tunnel, 'auth-rejected');
    assert.equal(tunnel.state().attempts, 1);
    writeFileSync(sshd.authorizedKeysFile, readFileSync(`${sshd.clientKey}.pub`));
    tunnel.retryNow();
    await tunnel.untilPhase('up');
  });

  test('tries a tunnel again soon when it was up before, and then as seldom as the others', async (t) => {
    const sshd = await server(t);
    const keys = readFileSync(sshd.authorizedKeysFile);
    const clock = skippingClock();
    const tunnel = startTunnel(t, specFor(sshd, [[await freePort(), 1]]), { clock });
    await tunnel.untilPhase('up');
    writeFileSync(sshd.authorizedKeysFile, '');
    sshd.killSessions();
    for (const [attempts, least, most] of [
      [1, 18_000, 22_000],
      [2, 54_000, 66_000],
      [3, 270_000, 330_000],
    ] as const) {
      const found = await until(
        () => tunnel.announced.find((one) => one.phase === 'blocked' && one.attempts === attempts),
        { what: 'blocked' },
      );
      assert.ok(found.inMs > least - 5000 && found.inMs <= most, `${found.inMs} ms`);
      if (attempts === 3) writeFileSync(sshd.authorizedKeysFile, keys);
      await until(() => clock.skip(least, most) > 0, { what: 'the wait' });
    }
    // After so many rejections it waits for its turn, too.
    // Not the limits of the connection itself, of which some are as long.
    const skipTurn = () => tunnel.state().phase === 'waiting' && clock.skip(MINUTE, 6 * MINUTE);
    await until(() => (skipTurn(), tunnel.state().phase === 'up'), { what: 'phase up' });
  });

  for (const [what, listen] of [
    [
      'listens on this side alone',
      (port: number) => ({ kind: 'local', listen: { type: 'tcp', host: 'localhost', port } }),
    ],
    ['lets the server choose', () => ({ kind: 'remote', listen: { type: 'tcp', host: 'localhost', port: 0 } })],
    ['is a Unix socket', (_, dir: string) => ({ kind: 'remote', listen: { type: 'unix', path: join(dir, 'socket') } })],
  ] as const satisfies readonly (readonly [string, (port: number, dir: string) => Omit<ForwardSpec, 'target'>])[])
    test(`is so in the next life of one that ${what}, as after a loss of power of both`, async (t) => {
      const sshd = await server(t);
      const forward = {
        ...listen(await freePort(), sshd.dir),
        target: { type: 'tcp', host: '127.0.0.1', port: 9 },
      } as const;
      const spec = specFor(sshd, [[1, 1]], { forwards: [forward], verify: 'off' });
      const owners = ownersAt('server', { memory: ownerMemory(), machine: NO_MACHINE, day: () => '2026-01-31' });
      const device = { owners: () => owners };
      const first = startTunnel(t, spec, { device });
      await first.untilPhase('up');
      await first.stop();
      writeFileSync(sshd.authorizedKeysFile, '');
      assertRetryIn((await untilBlocked(startTunnel(t, spec, { device }), 'auth-rejected')).retryAt, 18_000, 22_000);
      const another = startTunnel(t, { ...spec, name: 'another' }, { device });
      assertRetryIn((await untilBlocked(another, 'auth-rejected')).retryAt, 270_000, 330_000);
    });

  test('logs the same trouble once, however often it is met', async (t) => {
    const sshd = await server(t);
    const tunnel = await start(t, sshd, { identityFiles: [makeKey(sshd, 'stranger')] });
    for (let attempt = 1; attempt <= 3; attempt++) {
      await until(() => tunnel.state().phase === 'blocked' && tunnel.state().attempts === attempt, { what: 'blocked' });
      tunnel.retryNow();
    }
    assert.equal(tunnel.lines.filter((line) => line['code'] === 'auth-rejected' && line['level'] === 40).length, 1);
  });
});

async function server(t: TestContext, options?: SshdOptions): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

async function start(t: TestContext, sshd: TestSshd, changes: Partial<TunnelSpec> = {}): Promise<TestTunnel> {
  return startTunnel(t, specFor(sshd, [[await freePort(), 1]], changes));
}

async function untilBlocked(tunnel: TestTunnel, code: string) {
  const state = await tunnel.untilPhase('blocked');
  assert.equal(state.failure?.code, code, state.failure?.message);
  return state;
}

function assertRetryIn(retryAt: number | null, least: number, most: number): void {
  const left = (retryAt ?? 0) - performance.now();
  // The announcement is a moment old when it is seen.
  assert.ok(left > least - 5000 && left <= most, `${left} ms`);
}

function makeKey(sshd: TestSshd, name: string): string {
  const file = join(sshd.dir, name);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
  return file;
}

function fingerprintOf(key: string): string {
  return execFileSync('ssh-keygen', ['-lf', `${key}.pub`], { encoding: 'utf8' }).split(' ')[1] ?? '';
}
