import assert from 'node:assert/strict';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { STEPS, type Step } from '../../../src/doctor/check.ts';
import { listen } from '../../support/listen.ts';
import type { SshdOptions } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, tempDir } from '../../support/until.ts';
import { startBlackHole } from '../../support/black-hole.ts';
import { doctor, world, type World } from '../../support/run-doctor.ts';

describe('doctor', { concurrency: 3 }, () => {
  test('passes every step in order when all is well, and leaves nothing behind on the server', async (t) => {
    const { yaml, port, sshd } = await world(t, { everyKeyExchange: true });
    const report = await doctor(t, yaml);
    assert.equal(report.code, 0, report.stdout);
    const bad = report.steps.filter(({ result }) => result === 'fail');
    assert.deepEqual(bad, []);
    const order = report.steps.map(({ step }) => STEPS.indexOf(step));
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    );
    assert.match(report.of('banner')[0]?.seen ?? '', /^OpenSSH_/);
    assert.match(report.of('algorithms')[0]?.seen ?? '', /^sntrup761x25519-sha512\S*, ssh-ed25519/);
    assert.equal(report.of('algorithms')[0]?.result, 'ok');
    assert.match(report.of('authentication')[0]?.seen ?? '', /^ed25519 SHA256:/);
    assert.equal(report.of('round trip')[0]?.result, 'ok');
    assert.equal(report.of('target')[0]?.result, 'ok');
    await sshd.waitForLog(/Accepted publickey/);
    assert.equal(sshd.log().match(/Accepted publickey/g)?.length, 1);
    const free = createServer();
    await listen(free, '127.0.0.1', port);
    free.close();
  });

  test('asks the daemon when it runs, and disturbs nothing', async (t) => {
    const { yaml, sshd, closeTarget } = await world(t);
    const daemon = await startDaemonProcess(t, yaml);
    await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
    const logins = () => sshd.log().match(/Accepted publickey/g)?.length;
    assert.equal(logins(), 1);
    const { code, stdout } = await daemon.command('doctor', 'a', '--json');
    assert.equal(code, 0, stdout);
    const { ok, steps } = JSON.parse(stdout) as { ok: boolean; steps: readonly Step[] };
    assert.equal(ok, true);
    assert.ok(
      steps.some(
        ({ step, seen }) =>
          step === 'authentication' && /the daemon is logged in: ed25519 SHA256:\S+ \(\S+\)$/.test(seen),
      ),
    );
    assert.ok(steps.some(({ step, result }) => step === 'round trip' && result === 'ok'));
    assert.match(
      steps.find(({ step }) => step === 'source port')?.seen ?? '',
      /^\d+ each time; no router is on the way/,
    );
    assert.equal(logins(), 1);
    assert.match((await daemon.command('doctor')).stdout, /ok {3}a: round trip/);
    // What the daemon saw of it may be a quarter of an hour old.
    await closeTarget();
    const later = await daemon.command('doctor');
    assert.equal(later.code, 1);
    assert.match(later.stdout, /fail a: target .*ECONNREFUSED/);
  });

  /** Each step failed on purpose: what is broken, where it is found, and the cure. */
  const BROKEN: readonly {
    readonly name: string;
    readonly step: string;
    readonly seen: RegExp;
    readonly cure: RegExp;
    readonly sshd?: SshdOptions;
    readonly spoil?: (yaml: string, world: World) => string | Promise<string>;
  }[] = [
    {
      name: 'the file',
      step: 'configuration',
      seen: /:4:5: tunnels\.a\.prot is not a known key; did you mean port\?/,
      cure: /tunneld check/,
      spoil: (yaml) => yaml.replace('port:', 'prot:'),
    },
    {
      name: 'the name',
      step: 'name',
      seen: /cannot resolve no-such-host\.invalid/,
      cure: /getent hosts/,
      spoil: (yaml) => yaml.replace('host: 127.0.0.1', 'host: no-such-host.invalid'),
    },
    {
      name: 'the port',
      step: 'TCP',
      seen: /127\.0\.0\.1:\d+: ECONNREFUSED/,
      cure: /sshd runs on the server/,
      spoil: async (yaml) => yaml.replace(/port: \d+/, `port: ${await freePort()}`),
    },
    {
      name: 'no answer from the port',
      step: 'TCP',
      seen: /127\.0\.0\.1:\d+: time|ETIMEDOUT|no answer|within/,
      cure: /firewall/,
      spoil: async (yaml, { t }) =>
        yaml.replace(/port: \d+/, `port: ${(await startBlackHole(t)).port}\n    connectTimeout: 1`),
    },
    {
      name: 'no SSH',
      step: 'banner',
      seen: /instead of SSH it says|did not finish|Connection lost/,
      cure: /lead to an SSH server/,
      spoil: async (yaml, { t }) => yaml.replace(/port: \d+/, `port: ${await talker(t)}`),
    },
    {
      name: 'algorithms',
      step: 'algorithms',
      seen: /no cipher in common: the server offers aes256-ctr/,
      cure: /Allow more ciphers/,
      sshd: { config: ['Ciphers aes256-ctr'] },
      spoil: (yaml) => yaml.replace('port:', 'ciphers: aes128-ctr\n    port:'),
    },
    {
      name: 'host key',
      step: 'host key',
      seen: /which is not in/,
      cure: /tunneld trust/,
      spoil: (yaml) => yaml.replace(/userKnownHostsFile: .*/, 'userKnownHostsFile: /dev/null'),
    },
    {
      name: 'user',
      step: 'authentication',
      seen: /refused user nobody-of-this-name: offered ed25519 SHA256:/,
      cure: /authorized_keys/,
      spoil: (yaml) => yaml.replace(/user: .*/, 'user: nobody-of-this-name'),
    },
    {
      name: 'key',
      step: 'authentication',
      seen: /no-such-key does not exist/,
      cure: /mode 0600/,
      spoil: (yaml) => yaml.replace(/identityFile: .*/, 'identityFile: /no-such-key'),
    },
    {
      name: 'a forward in use',
      step: 'forward',
      seen: /another program listens there: it says taken/,
      cure: /The port is in use/,
      spoil: async (yaml, { t, port }) => (await occupy(t, port), yaml),
    },
    {
      name: 'a forward that is forbidden',
      step: 'forward',
      seen: /its rules .*permitlisten.* forbid it/,
      cure: /permitlisten/,
      sshd: { keyOptions: 'restrict,port-forwarding,permitlisten="localhost:1"' },
    },
    {
      name: 'a target',
      step: 'target',
      seen: /ECONNREFUSED/,
      cure: /service behind the forward/,
      spoil: async (yaml) => yaml.replace(/remoteForward: (\d+):.*/, `remoteForward: $1:127.0.0.1:${await freePort()}`),
    },
  ];
  for (const { name, step, seen, cure, sshd, spoil } of BROKEN) {
    test(`finds what is wrong with ${name}, and the cure`, async (t) => {
      const place = await world(t, sshd);
      const report = await doctor(t, (await spoil?.(place.yaml, place)) ?? place.yaml);
      assert.equal(report.code, 1, report.stdout);
      const failed = report.steps.filter(({ result }) => result === 'fail');
      assert.deepEqual(
        failed.map((one) => one.step),
        [step],
        JSON.stringify(failed),
      );
      assert.match(failed[0]?.seen ?? '', seen);
      assert.match(failed[0]?.cure ?? '', cure);
      const later = report.steps.filter(
        (one) => one.tunnel === 'a' && STEPS.indexOf(one.step) > STEPS.indexOf(failed[0]!.step),
      );
      if (failed[0]!.tunnel !== null && STEPS.indexOf(failed[0]!.step) < STEPS.indexOf('forward')) {
        assert.ok(later.length > 0 && later.every(({ result }) => result === 'skip'));
      }
    });
  }

  test('warns with a cure when the server does not allow a round trip', async (t) => {
    const { yaml } = await world(t, { config: ['AllowTcpForwarding remote'] });
    const report = await doctor(t, yaml);
    assert.equal(report.code, 0);
    assert.equal(report.of('round trip')[0]?.result, 'warn');
    assert.match(report.of('round trip')[0]?.cure ?? '', /server-setup a/);
  });

  test('repairs permissions and the state directory only when --fix is given', async (t) => {
    const { yaml, sshd } = await world(t);
    const dir = await tempDir(t);
    const state = join(dir, 'deep', 'state');
    chmodSync(sshd.clientKey, 0o644);
    const before = await doctor(t, yaml, { state });
    assert.equal(before.code, 1);
    assert.equal(before.of('permissions')[0]?.result, 'fail');
    assert.match(before.of('permissions')[0]?.cure ?? '', /^(?:sudo )?chmod 600 /);
    assert.equal(before.of('state directory')[0]?.result, 'warn');
    assert.equal(existsSync(state), false);
    const after = await doctor(t, yaml, { state, args: ['--fix'] });
    assert.equal(after.code, 0, after.stdout);
    assert.equal(statSync(sshd.clientKey).mode & 0o777, 0o600);
    assert.equal(statSync(state).mode & 0o777, 0o700);
  });

  test('leaves a file as it is when it is named in the place of a key, and is none', async (t) => {
    const { yaml, sshd } = await world(t);
    const folder = await tempDir(t);
    const publicKey = `${sshd.clientKey}.pub`;
    chmodSync(folder, 0o755);
    chmodSync(publicKey, 0o644);
    for (const [path, message] of [
      [folder, /is not a regular file/],
      ['/dev/null', /is not a regular file/],
      [publicKey, /is a public key: set identityFile to the private one/],
    ] as const) {
      const { mode } = statSync(path);
      const report = await doctor(t, yaml.replace(sshd.clientKey, path), { args: ['--fix'] });
      assert.equal(report.of('permissions')[0]?.result, 'ok', path);
      assert.match(report.of('authentication')[0]?.seen ?? '', message);
      assert.equal(statSync(path).mode, mode, path);
    }
  });

  test('prints what the daemon remembers of dead connections, also when it does not run', async (t) => {
    const { yaml, sshd } = await world(t);
    const state = await tempDir(t);
    const key = `a ${sshd.user}@127.0.0.1:${sshd.port}`;
    for (const [seconds, result] of [
      [2, 'ok'],
      [40, 'warn'],
    ] as const) {
      const memory = { [key]: [61_001], evictions: { [key]: { day: '2026-01-31', seconds } } };
      writeFileSync(join(state, 'source-ports.json'), JSON.stringify(memory));
      const [step] = (await doctor(t, yaml, { state })).of('source port');
      assert.equal(step?.result, result);
      assert.match(step.seen, new RegExp(`^61001 each time; on 2026-01-31 the server .* after ${seconds} s`));
    }
  });

  test('exits with 4 when the tunnel does not exist', async (t) => {
    const { yaml } = await world(t);
    const report = await doctor(t, yaml, { args: ['other'] });
    assert.deepEqual([report.code, report.stderr], [4, 'tunneld: there is no tunnel "other"; there are: a\n']);
  });
});

async function talker(t: TestContext): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  t.after(() => server.close());
  return await listen(server);
}

async function occupy(t: TestContext, port: number): Promise<void> {
  for (const host of ['127.0.0.1', '::1']) {
    const server = createServer((socket) => socket.on('error', () => {}).end('taken\n'));
    await listen(server, host, port);
    t.after(() => server.close());
  }
}
