import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import type { FailureCode } from '../../src/model/failure.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { pollEveryMs, watchLocalNeeds } from '../../src/tunnel/local-needs.ts';
import { fakeClock } from '../support/clock.ts';
import { startSshd } from '../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../support/tunnel.ts';
import { connects, freePort, tempDir, until } from '../support/until.ts';
import { makeKey, publicLine } from '../support/login.ts';

// Each of these would otherwise be tried again after 54 seconds or more, and within a second it is.
describe('what comes late on this side is noticed', { concurrency: 4 }, () => {
  test('is noticed when it is the key file, once as it is wanted', async (t) => {
    const { sshd, dir, start } = await world(t);
    const tunnel = start({ identityFiles: [join(dir, 'key')] });
    await blocked(tunnel, 'key-unreadable', /does not exist/);
    writeFileSync(join(dir, 'key'), 'half of a', { mode: 0o600 });
    await blocked(tunnel, 'key-unreadable', /no private key/);
    copyFileSync(sshd.clientKey, join(dir, 'new'));
    renameSync(join(dir, 'new'), join(dir, 'key'));
    await tunnel.untilPhase('up');
  });

  test('is noticed when it is another key, where the server rejected the first', async (t) => {
    const { sshd, dir, start } = await world(t);
    const path = makeKey(dir, 'key', '-t', 'ed25519');
    const tunnel = start({ identityFiles: [path] });
    await blocked(tunnel, 'auth-rejected', /refused user/);
    copyFileSync(sshd.clientKey, path);
    await tunnel.untilPhase('up');
  });

  test('is noticed when it is the file with the passphrase', async (t) => {
    const { sshd, dir, start } = await world(t);
    const path = makeKey(dir, 'key', '-t', 'ed25519', '-N', 'correct horse');
    writeFileSync(sshd.authorizedKeysFile, publicLine(path));
    const tunnel = start({ identityFiles: [path], passphraseFile: join(dir, 'passphrase') });
    await blocked(tunnel, 'key-unreadable', /passphraseFile .* does not exist/);
    writeFileSync(join(dir, 'passphrase'), 'correct horse\n', { mode: 0o600 });
    await tunnel.untilPhase('up');
  });

  test('is noticed when it is known_hosts', async (t) => {
    const { sshd, dir, start } = await world(t);
    const tunnel = start({ userKnownHostsFiles: [join(dir, 'known_hosts')] });
    await blocked(tunnel, 'host-key-unknown', /is not in/);
    writeFileSync(join(dir, 'known_hosts'), sshd.knownHostsLine());
    await tunnel.untilPhase('up');
  });

  test('is noticed when it is an agent, and later a key in it; until then nothing was rejected', async (t) => {
    const { sshd, dir, start } = await world(t);
    const socket = join(dir, 'agent');
    const own = { identityFiles: [join(dir, 'none')], identityFilesConfigured: false, identitiesOnly: false };
    const tunnel = start({ ...own, identityAgent: socket });
    await blocked(tunnel, 'key-unreadable', /nothing to offer .*ENOENT/);
    await startAgent(t, socket);
    await until(() => !/ENOENT/.test(tunnel.state().failure?.message ?? ''), { what: 'an attempt with the agent' });
    await blocked(
      tunnel,
      'key-unreadable',
      /nothing to offer .*the server accepts publickey; the agent \S+ holds no key$/,
    );
    execFileSync('ssh-add', ['-q', sshd.clientKey], {
      env: { ...process.env, SSH_AUTH_SOCK: socket },
      stdio: 'ignore',
    });
    await tunnel.untilPhase('up');
  });

  test('is not looked at while the tunnel is up, or waits for something else', async (t) => {
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

describe('the next attempt begins within two seconds of their coming', () => {
  const kinds: Readonly<Record<string, Kind>> = {
    'a key file': {
      code: 'key-unreadable',
      spec: (dir) => ({ identityFiles: [join(dir, 'thing')] }),
    },
    'the file with a passphrase': {
      code: 'key-passphrase',
      spec: (dir) => ({ passphraseFile: join(dir, 'thing') }),
    },
    'another key where the server refused one': {
      code: 'auth-rejected',
      spec: (dir) => ({ identityFiles: [join(dir, 'thing')] }),
    },
    known_hosts: {
      code: 'host-key-unknown',
      spec: (dir) => ({ userKnownHostsFiles: [join(dir, 'thing')] }),
    },
    'a corrected known_hosts': {
      code: 'host-key-changed',
      spec: (dir) => ({ globalKnownHostsFiles: [join(dir, 'thing')] }),
    },
    'an agent': {
      code: 'key-unreadable',
      spec: (dir) => ({ identityAgent: join(dir, 'thing') }),
      come: startAgent,
    },
  };
  for (const [what, { code, spec, come = writeSomething }] of Object.entries(kinds)) {
    test(`tries again within two seconds when they come: ${what}`, async (t) => {
      const dir = await tempDir(t);
      const { clock, fail, looked, noticed } = watchNeeds(t, dir, code, spec(dir));
      fail();
      // A minute of nothing, and it comes between two looks.
      for (let second = 0; second < 60; second++) {
        await looked();
        await clock.advance(1000);
      }
      await looked();
      await clock.advance(1);
      assert.equal(noticed(), false);
      await come(t, join(dir, 'thing'));
      for (const came = clock.now(); !noticed(); await looked()) {
        assert.ok(clock.now() - came < 2000, 'not noticed');
        await clock.advance(100);
      }
    });
  }

  test('is noticed when it came during the attempt that failed without it', async (t) => {
    const dir = await tempDir(t);
    const file = join(dir, 'key');
    const { clock, fail, looked, noticed } = watchNeeds(t, dir, 'key-unreadable', { identityFiles: [file] });
    writeFileSync(file, 'something');
    clock.stepWall(statSync(file).ctimeMs - clock.wall());
    fail();
    await looked();
    await clock.advance(2000);
    assert.equal(noticed(), true);
  });
});

interface Kind {
  readonly code: FailureCode;
  spec(dir: string): Partial<TunnelSpec>;
  /** What comes, where it is no file that is written. */
  come?(t: TestContext, path: string): Promise<void>;
}

async function writeSomething(_t: TestContext, path: string): Promise<void> {
  writeFileSync(path, 'something');
}

/** Of a tunnel that has nothing but these; `looked` waits until a look is over and the next is due. */
function watchNeeds(t: TestContext, dir: string, code: FailureCode, changes: Partial<TunnelSpec>) {
  const clock = fakeClock();
  const state = { due: 0, noticed: false };
  const timer: Clock['timer'] = (ms, fire) => {
    // An agent's answer is waited for by a timer too.
    if (!LOOKS_MS.includes(ms)) return clock.timer(ms, fire);
    state.due += 1;
    return clock.timer(ms, () => {
      state.due -= 1;
      fire();
    });
  };
  const nobody = { dir, port: 9, user: 'nobody', clientKey: join(dir, 'none'), knownHostsLine: () => '' };
  const needs = watchLocalNeeds(specFor(nobody, [[1, 9]], { identityFiles: [], ...changes }), { ...clock, timer });
  t.after(() => needs.stop());
  needs.begin();
  return {
    clock,
    noticed: () => state.noticed,
    fail: () => needs.whenChanged(code, () => (state.noticed = true)),
    looked: () => until(() => state.noticed || state.due === 1, { what: 'a look' }),
  };
}

const LOOKS_MS = [0, 60_000].map(pollEveryMs);

async function startAgent(t: TestContext, socket: string): Promise<void> {
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  t.after(() => agent.kill());
  await until(() => connects(socket), { what: "the agent's socket" });
}

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

test('begins the next attempt at once for who mends it here, and within two seconds whoever mends it', () => {
  for (const [wantedFor, most] of [
    [0, 1000],
    [59_000, 1000],
    [60_000, 2000],
    [86_400_000, 2000],
  ] as const)
    assert.ok(pollEveryMs(wantedFor) <= most && pollEveryMs(wantedFor) >= 0.9 * most, `after ${wantedFor} ms`);
});
