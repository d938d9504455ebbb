import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { CASES, createAuthorities } from '../../support/host-certificates.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { OWN_NETWORK, startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir } from '../../support/until.ts';

describe('tunneld trust', { concurrency: 3 }, () => {
  test('replaces a changed key when the fingerprint confirms it, and the daemon is up at once', async (t) => {
    const sshd = await server(t);
    const daemon = await startDaemonProcess(
      t,
      `tunnels:\n${tunnelYaml(sshd, 'backup', `${await freePort()}:localhost:22`)}`,
    );
    const known = join(sshd.dir, 'known_hosts');
    await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
    writeFileSync(known, `other.example ${sshd.hostKeys[0]!.publicKey}\n${readFileSync(known, 'utf8')}`);
    const before = readFileSync(known, 'utf8');
    await replaceHostKey(sshd);
    const { tunnels } = await daemon.untilStatus(({ tunnels: [one] }) => one?.phase === 'blocked', 'blocked');
    assert.equal(tunnels[0]?.failure?.code, 'host-key-changed');
    assert.match(tunnels[0]?.failure?.hint ?? '', /tunneld trust/);

    const wrong = await daemon.command('trust', 'backup', '--fingerprint', `SHA256:${'A'.repeat(43)}`);
    assert.equal(wrong.code, 1, wrong.stderr);
    assert.match(wrong.stderr, /none of these keys has the fingerprint/);
    assert.equal(readFileSync(known, 'utf8'), before);
    const unasked = await daemon.command('trust', 'backup');
    assert.equal(unasked.code, 2, unasked.stderr);
    assert.match(unasked.stderr, /--fingerprint/);

    const { code, stderr } = await daemon.command('trust', 'backup', '--fingerprint', fingerprintOf(sshd));
    assert.equal(code, 0, stderr);
    assert.match(stderr, /reinstalled, or the connection is intercepted/);
    assert.match(stderr, /the daemon tries it now/);
    const [other] = before.split('\n');
    assert.deepEqual(readFileSync(known, 'utf8').split('\n').filter(Boolean), [
      other,
      `[127.0.0.1]:${sshd.port} ${newKeyOf(sshd)}`,
    ]);
    await daemon.untilStatus(({ tunnels: [one] }) => one?.phase === 'up', 'up again');
    const again = await daemon.command('trust', 'backup', '--fingerprint', fingerprintOf(sshd));
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /the host key of .* is known: /);
  });

  test('keeps owner and mode, and gives a file back when root has taken it from the user of a service', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root has files of others to keep');
    const sshd = await server(t);
    const { config, known } = await configured(t, sshd, 'x ssh-ed25519 damaged\n');
    for (const owner of [NOBODY, 0]) {
      const stale = execFileSync('ssh-keygen', ['-y', '-f', sshd.clientKey], { encoding: 'utf8' }).trim();
      writeFileSync(known, `[127.0.0.1]:${sshd.port} ${stale.split(' ').slice(0, 2).join(' ')}\n`);
      chownSync(known, owner, owner);
      chmodSync(known, 0o640);
      const args = ['trust', 'backup', '--config', config, '--fingerprint', fingerprintOf(sshd)];
      const { code, stderr } = await tunneld(args);
      assert.equal(code, 0, stderr);
      assert.equal(readFileSync(known, 'utf8'), `[127.0.0.1]:${sshd.port} ${sshd.hostKeys[0]!.publicKey}\n`);
      const { uid, gid, mode } = statSync(known);
      assert.deepEqual([uid, gid, mode & 0o777], [NOBODY, NOBODY, 0o640]);
    }
  });

  test('compares the keys of all servers by the name of the tunnel, though one is down', async (t) => {
    const sshd = await server(t);
    const { config, known } = await configured(t, sshd, '');
    const text = readFileSync(config, 'utf8');
    const host = `    host: 127.0.0.1\n    port: ${sshd.port}\n`;
    assert.ok(text.includes(host), text);
    const down = `127.0.0.1:${await freePort()}`;
    writeFileSync(config, text.replace(host, `    servers: ["${down}", "127.0.0.1:${sshd.port}"]\n`));
    const trust = (name: string) => tunneld(['trust', name, '--config', config, '--fingerprint', fingerprintOf(sshd)]);
    const both = await trust('backup');
    assert.deepEqual([both.code, both.stderr.includes(`${down}: ECONNREFUSED`)], [1, true], both.stderr);
    assert.equal(readFileSync(known, 'utf8'), `[127.0.0.1]:${sshd.port} ${sshd.hostKeys[0]!.publicKey}\n`);
    const one = await trust('backup@127.0.0.1');
    assert.equal(one.code, 0, one.stderr);
    assert.match(one.stderr, /is known: /);
  });

  test('names the line with the old key when others share it, and refuses what is revoked', async (t) => {
    const sshd = await server(t);
    const stale = execFileSync('ssh-keygen', ['-y', '-f', sshd.clientKey], { encoding: 'utf8' }).trim();
    const shared = `[127.0.0.1]:${sshd.port},friend ${stale.split(' ').slice(0, 2).join(' ')}\n`;
    const { config, known } = await configured(t, sshd, shared);
    const args = ['trust', 'backup', '--config', config, '--fingerprint', fingerprintOf(sshd)];
    const { code, stderr } = await tunneld(args);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /known_hosts:1 still has ssh-ed25519 SHA256:/);
    assert.ok(readFileSync(known, 'utf8').startsWith(shared));
    writeFileSync(known, `@revoked * ${sshd.hostKeys[0]!.publicKey}\n`);
    const revoked = await tunneld(args);
    assert.equal(revoked.code, 1);
    assert.match(revoked.stderr, /known_hosts:1 revokes/);
  });

  test('takes a replaced key for unknown when the server still has another that is known', async (t) => {
    const sshd = await startSshd({ hostKeyTypes: ['ed25519', 'rsa'] });
    t.after(() => sshd.stop());
    const stale = execFileSync('ssh-keygen', ['-y', '-f', sshd.clientKey], { encoding: 'utf8' }).trim();
    const name = `[127.0.0.1]:${sshd.port}`;
    const rsa = `${name} ${sshd.hostKeys[1]!.publicKey}`;
    const { config, known } = await configured(t, sshd, `${name} ${stale.split(' ').slice(0, 2).join(' ')}\n${rsa}\n`);
    const args = ['trust', 'backup', '--config', config, '--fingerprint', fingerprintOf(sshd)];
    const { code, stderr } = await tunneld(args);
    assert.equal(code, 0, stderr);
    assert.deepEqual(readFileSync(known, 'utf8').split('\n').filter(Boolean), [
      rsa,
      `${name} ${sshd.hostKeys[0]!.publicKey}`,
    ]);
    // The key that the server still has is no other one, and its line was kept on purpose.
    assert.match(stderr, /has another key of it: ssh-ed25519 SHA256:\S+ \([^,]*:1\); the server was reinstalled/);
    assert.doesNotMatch(stderr, /edit that line yourself/);
    assert.match(stderr, /host key replaced in/);
  });

  test('takes no spare key for one that was replaced', async (t) => {
    const sshd = await startSshd({ hostKeyTypes: ['ed25519', 'rsa'] });
    t.after(() => sshd.stop());
    const spare = execFileSync('ssh-keygen', ['-y', '-f', sshd.clientKey], { encoding: 'utf8' }).trim();
    const name = `[127.0.0.1]:${sshd.port}`;
    const lines = `${name} ${sshd.hostKeys[1]!.publicKey}\n${name} ${spare.split(' ').slice(0, 2).join(' ')} spare-host-key\n`;
    const { config, known } = await configured(t, sshd, lines);
    const { code, stderr } = await tunneld(['trust', 'backup', '--config', config]);
    assert.deepEqual([code, readFileSync(known, 'utf8')], [0, lines], stderr);
    assert.match(stderr, /the host key of .* is known: /);
  });

  test('asks for the key of a jump first when it goes through one', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const { config, known } = await configured(
      t,
      sshd,
      '',
      `    proxyJump: { host: 127.0.0.1, port: ${gate.port}, user: ${gate.user}, identityFile: ${gate.clientKey} }\n`,
    );
    const run = (fingerprint: string) => tunneld(['trust', 'backup', '--config', config, '--fingerprint', fingerprint]);
    const first = await run(fingerprintOf(gate));
    assert.equal(first.code, 1, first.stderr);
    assert.match(readFileSync(known, 'utf8'), new RegExp(`^\\[127.0.0.1\\]:${gate.port} \\S+ \\S+\n$`));
    const second = await run(fingerprintOf(sshd));
    assert.equal(second.code, 0, second.stderr);
    assert.match(readFileSync(known, 'utf8'), new RegExp(`\n\\[127.0.0.1\\]:${sshd.port} \\S+ \\S+\n$`));
  });

  test('asks the next server at once when a jump refuses every login', async (t) => {
    const [gate, inner, sshd] = await Promise.all([server(t), server(t), server(t)]);
    const jump = ({ port, clientKey }: TestSshd) =>
      `{ host: 127.0.0.1, port: ${port}, user: nosuchuser, identityFile: ${clientKey} }`;
    const lines = [gate, inner, sshd].map((one) => `${one.knownHostsLine('127.0.0.1')}\n`.replace('\n\n', '\n'));
    const { config } = await configured(t, sshd, lines.join(''), `    proxyJump: [${jump(gate)}, ${jump(inner)}]\n`);
    const { code, stderr } = await tunneld(['trust', 'backup', '--config', config]);
    assert.equal(code, 0, stderr);
    assert.equal(stderr.match(/could not be compared/g)?.length, 2, stderr);
  });

  test('asks for nothing when the server has a certificate of a known authority, which doctor names as well', async (t) => {
    const [valid = assert.fail()] = CASES;
    const authorities = await createAuthorities(await tempDir(t), ['ed25519']);
    const files = await authorities.prepare({ ...valid, names: '127.0.0.1' }, 'ed25519', 'ed25519');
    const other = await authorities.prepare({ ...valid, names: '127.0.0.2' }, 'ed25519', 'ed25519');
    const start = async ({ hostKey, certificate }: typeof files) => {
      const lines = [`HostKey ${hostKey}`, `HostCertificate ${certificate}`];
      const sshd = await startSshd({ hostKeyTypes: [], config: lines });
      t.after(() => sshd.stop());
      return await configured(t, sshd, readFileSync(files.knownHosts, 'utf8'));
    };
    const { config, known } = await start(files);
    const certificate = /certificate "relay 1" of ssh-ed25519 SHA256:\S{43}, valid until [-\dT:.]+Z/;
    const trusted = await tunneld(['trust', 'backup', '--config', config]);
    assert.equal(trusted.code, 0, trusted.stderr);
    assert.match(trusted.stderr, new RegExp(`is known by the ${certificate.source}: ${known}:1`));
    const wrong = await tunneld(['trust', 'backup', '--config', config, '--fingerprint', `SHA256:${'A'.repeat(43)}`]);
    assert.match(wrong.stderr, /is neither its key nor its authority/);
    const { stdout } = await tunneld(['doctor', '--config', config]);
    assert.match(stdout, new RegExp(`its authority is in known_hosts: ${certificate.source}`));
    const unfit = await tunneld(['trust', 'backup', '--config', (await start(other)).config]);
    assert.match(unfit.stderr, /which proves nothing: it is for 127\.0\.0\.2/);
    assert.match(unfit.stderr, /--fingerprint/);
  });

  test('exits with an own code when there is no such tunnel, and when no server answers', async (t) => {
    const sshd = await server(t);
    const { config } = await configured(t, sshd, '');
    assert.equal((await tunneld(['trust', 'nothing', '--config', config])).code, 4);
    const fingerprint = fingerprintOf(sshd);
    await sshd.stop();
    const command = ['trust', 'backup', '--config', config, '--fingerprint', fingerprint];
    const gone = await tunneld(command, { wrapper: OWN_NETWORK });
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /ECONNREFUSED.*sshd runs/);
  });
});

const NOBODY = 65_534;

async function server(t: TestContext): Promise<TestSshd> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  return sshd;
}

/** A configuration whose known_hosts lies in a folder of the user of a service. */
async function configured(t: TestContext, sshd: TestSshd, text: string, more = '') {
  const dir = await tempDir(t);
  const folder = join(dir, 'state');
  mkdirSync(folder);
  if (process.getuid?.() === 0) chownSync(folder, NOBODY, NOBODY);
  const known = join(folder, 'known_hosts');
  writeFileSync(known, text);
  const config = join(dir, 'config.yaml');
  const yaml = tunnelYaml(sshd, 'backup', '8080:localhost:22', more);
  writeFileSync(
    config,
    `defaults: { userKnownHostsFile: ${known}, globalKnownHostsFile: [] }\ntunnels:\n${yaml.replace(/^ +userKnownHostsFile: .*\n/m, '')}`,
  );
  return { config, known };
}

function fingerprintOf(sshd: TestSshd): string {
  const [key] = sshd.hostKeys;
  return execFileSync('ssh-keygen', ['-lf', `${key!.file}.pub`], { encoding: 'utf8' }).split(' ')[1]!;
}

function newKeyOf(sshd: TestSshd): string {
  return readFileSync(`${sshd.hostKeys[0]!.file}.pub`, 'utf8').split(' ').slice(0, 2).join(' ').trim();
}

async function replaceHostKey(sshd: TestSshd): Promise<void> {
  const file = sshd.hostKeys[0]!.file;
  execFileSync('sh', ['-c', `rm -f "$0" "$0.pub"; ssh-keygen -q -t ed25519 -N '' -f "$0"`, file]);
  await sshd.restart();
}
