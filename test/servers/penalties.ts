/**
 * What an sshd of today (OpenSSH 9.8 and later, PerSourcePenalties) thinks of a process whose tunnels fail in every way: run by
 * `npm run test:trixie`, as root, with the sshd of that folder. All tunnels come from one address, and a login that is good must not suffer.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { childrenOf, descendantsOf, signalAll } from '../support/processes.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';

/** It says at each failure what it holds against the address, and then that it acts upon it. */
const SHUT_OUT = /activating|drop connection/;

const SECONDS = Number(process.env['SECONDS'] ?? 60);

const many = (count: number) => Array.from({ length: count }, (_, index) => index);

for (const [what, changes] of [
  [
    'wrong keys and users',
    (sshd: ModernSshd) => [
      ...many(8).map(() => ({ identityFiles: [sshd.wrongKey] })),
      ...many(4).map((index) => ({ user: `nobody-of-that-name-${index}` })),
    ],
  ],
  [
    'connections that end before a login',
    (sshd: ModernSshd) => many(40).map(() => ({ userKnownHostsFiles: [sshd.wrongKnownHosts] })),
  ],
] as const)
  test(`a good login is never refused for ${what} of others`, { timeout: 300_000 }, async (t) => {
    const sshd = await startModernSshd(t);
    const tunnel = async (name: string, changed: Partial<TunnelSpec> = {}) =>
      startTunnel(t, specFor(sshd, [[await freePort(), 1]], { name, ...changed }));
    const good = await tunnel('good');
    await good.untilPhase('up');
    const bad = await Promise.all(changes(sshd).map((changed, index) => tunnel(`bad-${index}`, changed)));
    const end = performance.now() + SECONDS * 1000;
    for (let round = 0; performance.now() < end; round += 1) {
      await wait(5000);
      // A person tries again with some.
      for (const index of many(bad.length / 4)) bad[(round + 4 * index) % bad.length]?.retryNow();
      sshd.killSessions();
      await until(() => good.state().phase !== 'up', { what: 'the loss of the good one' });
      // Its turn may have to wait for what the others have begun, half a minute at most.
      await good.untilPhase('up', 40_000);
      assert.doesNotMatch(sshd.log(), SHUT_OUT);
    }
    assert.ok(bad.every(({ state }) => state().lastUp === null));

    // It does mind those who do not care.
    for (const _ of many(6)) sshd.failToLogIn();
    await until(() => SHUT_OUT.test(sshd.log()), { what: () => `a penalty: ${sshd.log().slice(-3000)}` });
  });

type ModernSshd = Awaited<ReturnType<typeof startModernSshd>>;

/** That of the folder which test/support/trixie.sh makes, with its defaults, in its root directory. */
async function startModernSshd(t: TestContext) {
  const root = process.env['TUNNELD_BOX_ROOT'] ?? assert.fail('TUNNELD_BOX_ROOT is not set: npm run test:trixie');
  const dir = mkdtempSync(join(root, 'tmp', 'tunneld-penalties-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const makeKey = (name: string) => {
    const file = join(dir, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
    return file;
  };
  const [hostKey, clientKey, wrongKey, otherHostKey] = ['host', 'client', 'wrong', 'other'].map(makeKey) as [
    string,
    string,
    string,
    string,
  ];
  const inside = (file: string) => file.slice(root.length);
  const port = await freePort();
  const config = join(dir, 'sshd_config');
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${inside(hostKey)}`,
    `AuthorizedKeysFile ${inside(clientKey)}.pub`,
    'StrictModes no',
    'PidFile none',
    'LogLevel VERBOSE',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  mkdirSync(join(root, 'run/sshd'), { recursive: true });
  const script = `mount --bind /dev "$1/dev"; mount -t proc proc "$1/proc"; exec chroot "$1" /usr/sbin/sshd -D -e -f "$2"`;
  const sshd: ChildProcess = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', root, inside(config)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const pid = sshd.pid ?? 0;
  let log = '';
  sshd.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  t.after(() => signalAll([...descendantsOf(pid), pid], 'SIGKILL'));
  await until(() => log.includes('Server listening'), { what: () => `sshd: ${log}` });
  const publicKey = (file: string) => readFileSync(`${file}.pub`, 'utf8').trim();
  const knownHostsLine = (host = '127.0.0.1', at = port) => `[${host}]:${at} ${publicKey(hostKey)}\n`;
  const wrongKnownHosts = join(dir, 'wrong_known_hosts');
  writeFileSync(wrongKnownHosts, `[127.0.0.1]:${port} ${publicKey(otherHostKey)}\n`);
  const failToLogIn = () => {
    const options = ['-F', 'none', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'IdentitiesOnly=yes'];
    const args = [...options, '-o', 'UserKnownHostsFile=/dev/null', '-p', String(port), '-i', wrongKey];
    try {
      execFileSync('ssh', [...args, 'root@127.0.0.1'], { stdio: 'ignore' });
    } catch {
      return;
    }
    assert.fail('a wrong key let in');
  };
  return {
    dir,
    port,
    user: 'root',
    clientKey,
    wrongKey,
    wrongKnownHosts,
    knownHostsLine,
    log: () => log,
    killSessions: () =>
      signalAll(
        childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]),
        'SIGKILL',
      ),
    failToLogIn,
  };
}
