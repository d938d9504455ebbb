import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { createLogger } from '../../../src/lib/log/log.ts';
import { prepareHostKeyVerifier } from '../../../src/connection/known-hosts/host-key-verifier.ts';
import { pattern, startSource } from '../../support/echo.ts';
import type { TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { sendPayload, startFakeSsh, uint32 } from '../../support/fake-server.ts';
import { serverAndSpec } from '../../support/host-key-fixture.ts';
import { keyText, sshStrings, testKey } from '../../support/known-hosts-keys.ts';

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
    const rsa = sshd.hostKeys.find(({ type }) => type === 'rsa')?.publicKey;
    await until(() => readFileSync(files.user, 'utf8') === `[127.0.0.1]:${sshd.port} ${rsa}\n`, {
      what: () => `the end of the retired keys: ${readFileSync(files.user, 'utf8')}`,
    });
  });

  test('goes on with the next key of the same type when that was announced before the first was taken away', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT ED25519\n', { hostKeyTypes: ['ed25519'] });
    const config = join(sshd.dir, 'sshd_config');
    const [first = ''] = /^HostKey .*$/m.exec(readFileSync(config, 'utf8')) ?? [];
    const next = join(sshd.dir, 'next');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', next]);
    const change = async (line: string) => {
      writeFileSync(config, readFileSync(config, 'utf8').replace(/^HostKey .*(?:\nHostKey .*)*$/m, line));
      await sshd.restart();
    };
    await change(`${first}\nHostKey ${next}`);
    const tunnel = startTunnel(t, spec);
    await tunnel.untilPhase('up');
    const line = `[127.0.0.1]:${sshd.port} ${readFileSync(`${next}.pub`, 'utf8').trim()}\n`;
    await until(() => readFileSync(files.user, 'utf8').includes(line), { what: 'the next key' });
    await change(`HostKey ${next}`);
    await until(() => tunnel.state().phase !== 'up', { what: 'the end of the old session' });
    await tunnel.untilPhase('up');
    await until(() => readFileSync(files.user, 'utf8') === line, { what: 'the end of the first key' });
  });

  test('takes a server known without its port for the same when it has announced its keys', async (t) => {
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
    await until(() => rekeys(sshd) > 0, { what: 'a word of the rekey in the log' });
    assert.equal(tunnel.state().phase, 'up');
    assert.equal(tunnel.state().failure, null);
  });

  test('writes nothing when it is off, or when the server was let in unrecognised', async (t) => {
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

  test('learns once a connection when a server announces again and again', async (t) => {
    const { judge, file, known, name } = await judgeOf(t);
    await judge.learn([known, testKey('ssh-ed25519', '2')]);
    await judge.learn([known, testKey('ssh-ed25519', '3')]);
    assert.equal(readFileSync(file, 'utf8'), linesOf(name, known, testKey('ssh-ed25519', '2')));
  });

  test('keeps a spare key that the server does not announce, until it has done so', async (t) => {
    const spare = testKey('ssh-ed25519', 'spare');
    const { spec, judge, file, known, name } = await judgeOf(t, `NAME ${keyText(spare)} spare-host-key\n`);
    const tagged = linesOf(name, spare).replace('\n', ' spare-host-key\n');
    await judge.learn([known]);
    assert.equal(readFileSync(file, 'utf8'), linesOf(name, known) + tagged);
    // The administrator changes to it: it is a key like the others from now on, and the old one is gone.
    const after = await prepareHostKeyVerifier(spec, SILENT);
    assert.equal(after.verify(spare), null);
    await after.learn([spare]);
    assert.equal(readFileSync(file, 'utf8'), linesOf(name, spare));
    const later = await prepareHostKeyVerifier(spec, SILENT);
    assert.equal(later.verify(spare), null);
    await later.learn([spare, known]);
    assert.equal(readFileSync(file, 'utf8'), linesOf(name, spare, known));
  });

  test('keeps a spare key in use as it is when its name cannot be written plainly', async (t) => {
    const spare = testKey('ssh-ed25519', 'spare');
    const { spec, file, known } = await judgeOf(t);
    const hostKeyAlias = 'odd?name';
    const hashed = `|1|${Buffer.alloc(20).toString('base64')}|${createHmac('sha1', Buffer.alloc(20)).update(hostKeyAlias).digest('base64')}`;
    const lines = `${hashed} ${keyText(known)}\n${hashed} ${keyText(spare)} spare-host-key\n`;
    writeFileSync(file, lines);
    const verifier = await prepareHostKeyVerifier({ ...spec, hostKeyAlias }, SILENT);
    assert.equal(verifier.verify(spare), null);
    await verifier.learn([known, spare]);
    assert.equal(readFileSync(file, 'utf8'), lines);
  });

  test('forgets a key when the server has retired it, and no line that is about others too', async (t) => {
    const old = testKey('ssh-ed25519', 'old');
    const others = [
      '# a comment\n',
      `other.example ${keyText(old)}\n`,
      `NAME,other.example ${keyText(old)}\n`,
      `[127.0.0.?]:PORT ${keyText(old)}\n`,
      `@revoked NAME ${keyText(testKey('ssh-ed25519', 'stolen'))}\n`,
      `NAME sk-ssh-ed25519@openssh.com ${sshStrings('sk-ssh-ed25519@openssh.com', 'key', 'ssh:').toString('base64')}\n`,
      'no line of known_hosts at all\n',
    ].join('');
    const { judge, file, known, name, port } = await judgeOf(t, `${others}NAME ${keyText(old)}\n`);
    const fresh = testKey('ssh-ed25519', 'fresh');
    chmodSync(file, 0o640);
    await judge.learn([known, fresh]);
    const kept = others.replaceAll('NAME', name).replaceAll('PORT', String(port));
    assert.equal(readFileSync(file, 'utf8'), linesOf(name, known) + kept + linesOf(name, fresh));
    assert.equal(statSync(file).mode & 0o777, 0o640);
    assert.deepEqual(
      readdirSync(dirname(file)).filter((entry) => entry.startsWith('user_known_hosts')),
      ['user_known_hosts'],
    );
  });

  test('changes nothing when the list lacks the key that was shown, or has more than a server has', async (t) => {
    for (const keysFor of [
      () => [testKey('ssh-ed25519', 'thief')],
      (known: Buffer) => [known, ...Array.from({ length: 16 }, (_, i) => testKey('ssh-ed25519', `flood ${i}`))],
    ]) {
      const { judge, file, known } = await judgeOf(t);
      const before = readFileSync(file, 'utf8');
      await judge.learn(keysFor(known));
      assert.equal(readFileSync(file, 'utf8'), before);
    }
  });

  test('forgets what an intruder announced when the server is itself again', async (t) => {
    const { spec, judge, file, known, name } = await judgeOf(t);
    const planted = Array.from({ length: 15 }, (_, i) => testKey('ssh-ed25519', `planted ${i}`));
    await judge.learn([known, ...planted]);
    assert.equal(readFileSync(file, 'utf8'), linesOf(name, known, ...planted));
    const repaired = await prepareHostKeyVerifier(spec, SILENT);
    assert.equal(repaired.verify(known), null);
    await repaired.learn([known]);
    assert.equal(readFileSync(file, 'utf8'), linesOf(name, known));
    assert.equal(repaired.verify(planted[0]!)?.code, 'host-key-changed');
  });

  test('neither asks for proof nor learns when a server names thousands of keys', async (t) => {
    const { sshd, spec, files } = await serverAndSpec(t, '');
    const key = sshd.hostKeys[0]?.publicKey ?? '';
    const server = await startFakeSsh(t, sshd, (connection) =>
      connection
        .on('authentication', (attempt) => attempt.accept())
        .on('ready', () => {
          const flood = Array.from({ length: 400 }, (_, i) => testKey('ssh-ed25519', `flood ${i}`).toString('latin1'));
          const keys = flood.map((one) => Buffer.concat([uint32(one.length), Buffer.from(one, 'latin1')]));
          sendPayload(connection, 80, 'hostkeys-00@openssh.com', 0, Buffer.concat(keys));
        }),
    );
    const line = `[127.0.0.1]:${server.port} ${key}\n`;
    writeFileSync(files.user, line);
    const tunnel = startTunnel(t, { ...spec, port: server.port });
    await until(() => /announced 400 host keys/.test(JSON.stringify(tunnel.lines)), { what: 'the warning' });
    assert.equal(readFileSync(files.user, 'utf8'), line);
  });
});

const SILENT = createLogger('fatal', () => {});

/** A judge to whom the server has shown a key that it knows, and no server behind it. */
async function judgeOf(t: TestContext, more = '') {
  const { spec, files } = await serverAndSpec(t, null);
  const known = testKey('ssh-ed25519', 'known');
  const name = `[127.0.0.1]:${spec.port}`;
  const text = more.replaceAll('NAME', name).replaceAll('PORT', String(spec.port));
  writeFileSync(files.user, linesOf(name, known) + text);
  const judge = await prepareHostKeyVerifier(spec, SILENT);
  assert.equal(judge.verify(known), null);
  return { spec, judge, file: files.user, known, name, port: spec.port };
}

function linesOf(name: string, ...keys: readonly Buffer[]): string {
  return keys.map((key) => `${name} ${keyText(key)}\n`).join('');
}

test('learns keys when the server renews its own in the middle of a transfer', async (t) => {
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
  await sshd.waitForLog(/Accepted publickey/);
  assert.equal(sshd.log().match(/Accepted publickey/g)?.length, 1);
});

function rekeys(sshd: TestSshd): number {
  return sshd.log().match(/ssh_set_newkeys: rekeying out/g)?.length ?? 0;
}
