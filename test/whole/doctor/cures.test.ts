import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir } from '../../support/until.ts';
import { doctor, world, type World } from '../../support/run-doctor.ts';

/** What is wrong, and the same once the cure was done: then nothing is to be said of that step any more. */
const CURES: readonly {
  readonly name: string;
  readonly step: string;
  readonly result: 'fail' | 'warn';
  readonly seen: RegExp;
  readonly cure: RegExp;
  /** Spoils it, and answers with what does as the cure says. Both may change the configuration. */
  readonly spoil: (world: World) => Promise<readonly [yaml: string, cured: () => string]>;
}[] = [
  {
    name: 'another host key is known',
    step: 'host key',
    result: 'fail',
    seen: /shows ssh-ed25519 SHA256:.*, but the known key is ssh-ed25519 SHA256:.*known_hosts:1\)/,
    cure: /tunneld trust/,
    spoil: async ({ sshd, yaml }) => {
      const file = join(sshd.dir, 'known_hosts');
      const right = readFileSync(file, 'utf8');
      const [type, key] = readFileSync(`${sshd.clientKey}.pub`, 'utf8').split(' ');
      writeFileSync(file, `${right.split(' ')[0]} ${type} ${key}\n`);
      return [yaml, () => (writeFileSync(file, right), yaml)];
    },
  },
  {
    name: 'the host key is revoked',
    step: 'host key',
    result: 'fail',
    seen: /which .*known_hosts:2 revokes/,
    cure: /new host key/i,
    spoil: async ({ sshd, yaml }) => {
      const file = join(sshd.dir, 'known_hosts');
      const right = readFileSync(file, 'utf8');
      writeFileSync(file, `${right.trimEnd()}\n@revoked ${right.trimStart()}`);
      return [yaml, () => (writeFileSync(file, right), yaml)];
    },
  },
  {
    name: 'whatever host key it is',
    step: 'host key',
    result: 'warn',
    seen: /strictHostKeyChecking: no/,
    cure: /strictHostKeyChecking: yes/,
    spoil: async ({ yaml }) => [
      `${yaml}    strictHostKeyChecking: no\n`,
      () => `${yaml}    strictHostKeyChecking: yes\n`,
    ],
  },
  {
    name: 'the key has a passphrase',
    step: 'authentication',
    result: 'fail',
    seen: /encrypted/,
    cure: /passphraseFile/,
    spoil: async ({ sshd, yaml }) => {
      execFileSync('ssh-keygen', ['-q', '-p', '-a', '1', '-P', '', '-N', 'secret', '-f', sshd.clientKey]);
      const file = join(sshd.dir, 'passphrase');
      writeFileSync(file, 'secret\n', { mode: 0o600 });
      return [yaml, () => `${yaml}    passphraseFile: ${file}\n`];
    },
  },
  {
    name: 'a proxy that is not there',
    step: 'TCP',
    result: 'fail',
    seen: /ECONNREFUSED/,
    cure: /port|proxy/,
    spoil: async ({ yaml }) => [`${yaml}    proxy: http://127.0.0.1:${await freePort()}\n`, () => yaml],
  },
  {
    name: 'a jump that refuses the login',
    step: 'authentication',
    result: 'fail',
    seen: /on the way, at nobody-of-this-name@.*refused user nobody-of-this-name/,
    cure: /authorized_keys/,
    spoil: async ({ sshd, yaml }) => {
      const [keys = ''] = /^ {4}host:[^]*?(?= {4}remoteForward)/m.exec(yaml) ?? [];
      const jump = (user: string) =>
        `${yaml}    proxyJump:\n${keys.replaceAll('    ', '      ').replace(/user: .*/, `user: ${user}`)}`;
      return [jump('nobody-of-this-name'), () => jump(sshd.user)];
    },
  },
  {
    name: 'a source port that changes',
    step: 'source port',
    result: 'warn',
    seen: /sourcePort: any/,
    cure: /sourcePort: sticky/,
    spoil: async ({ yaml }) => [`${yaml}    sourcePort: any\n`, () => `${yaml}    sourcePort: sticky\n`],
  },
];

describe("doctor's cures", { concurrency: 3 }, () => {
  for (const { name, step, result, seen, cure, spoil } of CURES) {
    test(name, async (t) => {
      const place = await world(t, { everyKeyExchange: result === 'warn' });
      const [spoilt, cured] = await spoil(place);
      const report = await doctor(t, spoilt);
      assert.equal(report.code, result === 'fail' ? 1 : 0, report.stdout);
      const found = report.steps.filter((one) => one.result === result);
      assert.deepEqual(
        found.filter((one) => one.tunnel === 'a').map((one) => one.step),
        [step],
        JSON.stringify(found),
      );
      const [one] = report.of(step);
      assert.match(one?.seen ?? '', seen);
      assert.match(one?.cure ?? '', cure);
      const after = await doctor(t, cured());
      assert.equal(after.code, 0, after.stdout);
      assert.deepEqual(
        after.of(step).map((it) => it.result),
        ['ok'],
        after.stdout,
      );
    });
  }

  test('are commands for a shell, whatever a path holds', async (t) => {
    const { yaml, sshd } = await world(t);
    const dir = await tempDir(t);
    const state = join(dir, "it's a folder");
    chmodSync(sshd.clientKey, 0o644);
    const { of } = await doctor(t, yaml, { state });
    const cure = of('state directory')[0]?.cure?.split('   ')[0] ?? '';
    execFileSync('sh', ['-c', cure]);
    execFileSync('sh', ['-c', of('permissions')[0]?.cure?.split('   ')[0] ?? '']);
    assert.equal(statSync(state).mode & 0o777, 0o700);
    const after = await doctor(t, yaml, { state });
    assert.equal(after.code, 0, after.stdout);
    assert.equal(after.of('state directory')[0]?.result, 'ok');
  });

  test('say what to do when a daemon does not have the tunnel yet', async (t) => {
    const { yaml, port } = await world(t);
    const daemon = await startDaemonProcess(t, yaml);
    await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
    const second = yaml
      .replace('tunnels:\n', '')
      .replace('  a:', '  b:')
      .replace(`${port}:`, `${await freePort()}:`);
    daemon.writeConfig(`${yaml}${second}`);
    const text = (await daemon.command('doctor', 'b')).stdout;
    assert.match(text, /^warn configuration +the daemon does not have b yet\n +→ tunneld reload$/m);
    assert.doesNotMatch((await daemon.command('doctor', 'a')).stdout, /does not have/);
    await daemon.command('reload');
    assert.doesNotMatch((await daemon.command('doctor', 'b')).stdout, /does not have/);
  });

  test('do not ask a daemon when it has another configuration with a tunnel of that name', async (t) => {
    const other = await world(t);
    const runtime = await tempDir(t);
    const daemon = await startDaemonProcess(t, other.yaml);
    await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
    // Where a daemon is looked for when the configuration names no place.
    symlinkSync(daemon.socket, join(runtime, 'control.sock'));
    const { yaml } = await world(t);
    const file = join(runtime, 'config.yaml');
    writeFileSync(file, `${yaml}network: { ping: [] }\nstateDirectory: ${runtime}\n`);
    const env = { RUNTIME_DIRECTORY: runtime };
    const { code, stdout } = await tunneld(['doctor', '--config', file], { env });
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ok +a: banner +OpenSSH_/m);
    assert.doesNotMatch(stdout, /older configuration|the daemon is connected/);
    // The same tunnel, in a copy of the file.
    writeFileSync(file, `${other.yaml}network: { ping: [] }\nstateDirectory: ${runtime}\n`);
    assert.match((await tunneld(['doctor', '--config', file], { env })).stdout, /the daemon is connected/);
  });
});
