import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { startSshd } from '../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../support/tunnel.ts';
import { freePort, tempDir, until } from '../support/until.ts';
import { makeKey, publicLine } from './ssh2/login.ts';

// Each of these would otherwise be tried again after 54 seconds or more, and within a second it is.
describe('what comes late on this side is noticed', { concurrency: 4 }, () => {
  test('the key file, once as it is wanted', async (t) => {
    const { sshd, dir, start } = await world(t);
    const tunnel = start({ identityFiles: [join(dir, 'key')] });
    await blocked(tunnel, 'key-unreadable', /does not exist/);
    writeFileSync(join(dir, 'key'), 'half of a', { mode: 0o600 });
    await blocked(tunnel, 'key-unreadable', /no private key/);
    copyFileSync(sshd.clientKey, join(dir, 'new'));
    renameSync(join(dir, 'new'), join(dir, 'key'));
    await tunnel.untilPhase('up');
  });

  test('another key, where the server rejected the first', async (t) => {
    const { sshd, dir, start } = await world(t);
    const path = makeKey(dir, 'key', '-t', 'ed25519');
    const tunnel = start({ identityFiles: [path] });
    await blocked(tunnel, 'auth-rejected', /refused user/);
    copyFileSync(sshd.clientKey, path);
    await tunnel.untilPhase('up');
  });

  test('the file with the passphrase', async (t) => {
    const { sshd, dir, start } = await world(t);
    const path = makeKey(dir, 'key', '-t', 'ed25519', '-N', 'correct horse');
    writeFileSync(sshd.authorizedKeysFile, publicLine(path));
    const tunnel = start({ identityFiles: [path], passphraseFile: join(dir, 'passphrase') });
    await blocked(tunnel, 'key-unreadable', /passphraseFile .* does not exist/);
    writeFileSync(join(dir, 'passphrase'), 'correct horse\n', { mode: 0o600 });
    await tunnel.untilPhase('up');
  });

  test('known_hosts', async (t) => {
    const { sshd, dir, start } = await world(t);
    const tunnel = start({ userKnownHostsFiles: [join(dir, 'known_hosts')] });
    await blocked(tunnel, 'host-key-unknown', /is not in/);
    writeFileSync(join(dir, 'known_hosts'), sshd.knownHostsLine());
    await tunnel.untilPhase('up');
  });

  test('an agent, and later a key in it; until then nothing was rejected', async (t) => {
    const { sshd, dir, start } = await world(t);
    const socket = join(dir, 'agent');
    const own = { identityFiles: [join(dir, 'none')], identityFilesConfigured: false, identitiesOnly: false };
    const tunnel = start({ ...own, identityAgent: socket });
    await blocked(tunnel, 'key-unreadable', /nothing to offer .*ENOENT/);
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    t.after(() => agent.kill());
    await until(() => existsSync(socket), { what: "the agent's socket" });
    await until(() => !/ENOENT/.test(tunnel.state().failure?.message ?? ''), { what: 'an attempt with the agent' });
    await blocked(tunnel, 'key-unreadable', /nothing to offer .*the server accepts publickey$/);
    execFileSync('ssh-add', ['-q', sshd.clientKey], {
      env: { ...process.env, SSH_AUTH_SOCK: socket },
      stdio: 'ignore',
    });
    await tunnel.untilPhase('up');
  });

  test('nothing of it is looked at while the tunnel is up, or waits for something else', async (t) => {
    const { sshd, start } = await world(t);
    const looks = { count: 0 };
    const clock: Clock = {
      ...systemClock,
      timer: (ms, fn) => {
        if (new Error('who asks').stack?.includes('src/tunnel/local-needs') === true) looks.count += 1;
        return systemClock.timer(ms, fn);
      },
    };
    const tunnel = start({}, clock);
    await tunnel.untilPhase('up');
    await sshd.kill();
    await tunnel.untilFailure('connect-refused');
    await until(() => tunnel.state().attempts >= 3, { what: 'further attempts' });
    await sshd.restart();
    await tunnel.untilPhase('up');
    assert.equal(looks.count, 0);
  });
});

async function world(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const dir = await tempDir(t);
  const port = await freePort();
  const start = (changes: Partial<TunnelSpec>, clock = systemClock) =>
    startTunnel(t, specFor(sshd, [[port, 9]], changes), { clock });
  return { sshd, dir, start };
}

async function blocked(tunnel: TestTunnel, code: string, message: RegExp): Promise<void> {
  await until(() => tunnel.state().phase === 'blocked' && message.test(tunnel.state().failure?.message ?? ''), {
    what: () => `${code} ${message}; ${tunnel.state().phase}: ${tunnel.state().failure?.message}`,
  });
  assert.equal(tunnel.state().failure?.code, code);
}
