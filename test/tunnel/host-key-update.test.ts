import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { createLogger } from '../../src/lib/log.ts';
import { createHostKeyJudge } from '../../src/tunnel/host-key.ts';
import { pattern, startSource } from '../support/echo.ts';
import type { TestSshd } from '../support/sshd.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { serverAndSpec } from './host-key-fixture.ts';
import { keyText, testKey } from './known-hosts-keys.ts';

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
