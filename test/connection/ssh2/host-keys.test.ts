import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { CASES, createAuthorities, KEY_KINDS } from '../../support/host-certificates.ts';
import { pattern, startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, removeAtExit, until } from '../../support/until.ts';

const NAME = 'relay.example.com';
const [VALID = assert.fail()] = CASES;
const dir = mkdtempSync(join(tmpdir(), 'tunneld-certificates-'));
removeAtExit(dir);
const authorities = await createAuthorities(dir);
// Each key by an authority of another kind.
const pairs = KEY_KINDS.map((kind, index) => [KEY_KINDS[(index + 1) % KEY_KINDS.length]!, kind] as const);
const files = await Promise.all(pairs.map(([authority, kind]) => authorities.prepare(VALID, authority, kind)));
const sshd = await startSshd({
  hostKeyTypes: [],
  config: [
    ...files.flatMap(({ hostKey, certificate }) => [`HostKey ${hostKey}`, `HostCertificate ${certificate}`]),
    'RekeyLimit 1M',
    'LogLevel DEBUG1',
  ],
});
/** Nothing but the authorities. */
const knownHosts = join(dir, 'known_hosts');
writeFileSync(knownHosts, files.map((each) => readFileSync(each.knownHosts, 'utf8')).join(''));
after(() => sshd.stop());

describe('a server with a certificate is trusted for its authority', { concurrency: 2 }, () => {
  for (const algorithm of [
    'ssh-ed25519-cert-v01@openssh.com',
    'ecdsa-sha2-nistp256-cert-v01@openssh.com',
    'rsa-sha2-512-cert-v01@openssh.com',
    'rsa-sha2-256-cert-v01@openssh.com',
  ])
    test(algorithm, async (t) => {
      const echo = await startEcho();
      t.after(() => echo.close());
      const port = await freePort();
      const tunnel = startTunnel(t, {
        ...specFor(sshd, [[port, echo.port]]),
        hostKeyAlias: NAME,
        hostKeyAlgorithms: [algorithm],
        userKnownHostsFiles: [knownHosts],
      });
      await tunnel.untilPhase('up');
      const { hostKey, hostCertificate } = tunnel.state().algorithms ?? {};
      assert.equal(hostKey, algorithm);
      assert.equal(hostCertificate?.keyId, 'relay 1');
      const logged = tunnel.lines.find(({ msg }) => msg === 'tunnel is up')?.['hostCertificate'];
      assert.match(String(logged), /^certificate "relay 1" of \S+ SHA256:\S{43}, valid until /);
      const before = sshd.log().length;
      const sent = pattern(0, 2_500_000);
      assert.ok((await buffer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }).end(sent))).equals(sent));
      await until(() => sshd.log().slice(before).includes('rekeying out'), { what: 'the rekey' });
      assert.deepEqual(tunnel.phases, ['connecting', 'authenticating', 'forwarding', 'up']);
    });
});

test('asks for certificates where known_hosts names an authority of the host, and only there', async (t) => {
  const offered = async (lines: string) => {
    const before = sshd.log().length;
    const file = join(sshd.dir, 'known_hosts-of-this');
    writeFileSync(file, lines);
    const spec = { ...specFor(sshd, [[await freePort(), 1]]), hostKeyAlias: NAME, userKnownHostsFiles: [file] };
    const tunnel = startTunnel(t, spec);
    await tunnel.untilFailure('host-key-unknown');
    await tunnel.stop();
    const [, algorithm = ''] = /kex: host key algorithm: (\S+)/.exec(sshd.log().slice(before)) ?? [];
    return algorithm;
  };
  const [, key = ''] = readFileSync(knownHosts, 'utf8').split('\n');
  assert.equal(await offered(''), 'ssh-ed25519');
  assert.equal(await offered(key.replace(' * ', ' *.example.org ')), 'ssh-ed25519');
  assert.equal(await offered(key.replace(' * ', ' *.example.com ')), 'ssh-ed25519-cert-v01@openssh.com');
});
