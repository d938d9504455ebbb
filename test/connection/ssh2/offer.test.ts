import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { recordOffer } from '../../../src/connection/ssh2/offer.ts';
import { scanServer } from '../../../src/connection/ssh2/scan.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';

/** What a server allows, what is allowed here, and what is said of it. */
const CASES: readonly (readonly [string, Partial<TunnelSpec>, RegExp])[] = [
  [
    'Ciphers aes256-ctr,3des-cbc',
    { ciphers: ['aes128-gcm@openssh.com'] },
    /^no cipher in common: the server offers aes256-ctr, 3des-cbc; ciphers here allows aes128-gcm@openssh\.com$/,
  ],
  [
    'KexAlgorithms diffie-hellman-group1-sha1',
    {},
    /^no key exchange in common: the server offers diffie-hellman-group1-sha1; kexAlgorithms here allows mlkem768x25519-sha256, sntrup761/,
  ],
  [
    'MACs hmac-md5,umac-64@openssh.com',
    { ciphers: ['aes128-ctr'], macs: ['hmac-sha2-256'] },
    /^no MAC in common: the server offers hmac-md5, umac-64@openssh\.com; macs here allows hmac-sha2-256$/,
  ],
  [
    'HostKeyAlgorithms ssh-ed25519',
    { hostKeyAlgorithms: ['rsa-sha2-512'] },
    /^no host key algorithm in common: the server offers ssh-ed25519; hostKeyAlgorithms here allows rsa-sha2-512$/,
  ],
];

for (const [config, allowed, expected] of CASES) {
  test(`says what a server with ${config} offers`, async (t) => {
    const sshd = await server(t, config);
    const tunnel = startTunnel(t, specFor(sshd, [[1, 1]], allowed));
    const { failure } = await tunnel.untilFailure('no-common-algorithm');
    assert.match(failure?.message ?? '', expected);
    assert.ok(tunnel.lines.some(({ level, msg }) => level === 40 && String(msg).startsWith(failure?.message ?? '-')));
  });
}

test('says what a server offers when it scans for host keys, too', async (t) => {
  const sshd = await server(t, 'KexAlgorithms diffie-hellman-group1-sha1');
  const socket = connect(sshd.port, '127.0.0.1');
  await once(socket, 'connect');
  const { hostKey, error } = await scanServer(socket, 5000, systemClock);
  assert.equal(hostKey, null);
  assert.match(error, /^no key exchange in common: the server offers diffie-hellman-group1-sha1;/);
});

test('bounds and escapes what a server makes up, and describes no packet after the handshake', () => {
  const offer = recordOffer();
  const client = { _protocol: { _debug: offer.debug } };
  offer.debug('Outbound: Sending KEXINIT');
  offer.debug('Handshake: (local) KEX method: a,ext-info-c,kex-strict-c-v00@openssh.com');
  offer.debug(`Handshake: (remote) KEX method: \u001b[2J\n${'x'.repeat(5000)}`);
  const said = offer.explain('Handshake failed: no matching key exchange algorithm');
  assert.match(said, /^no key exchange in common: the server offers \\x1b\[2J\\x0ax+…; kexAlgorithms here allows a$/);
  assert.ok(said.length < 1000);
  assert.equal(offer.explain('Handshake failed: no matching C->S MAC'), 'Handshake failed: no matching C->S MAC');
  offer.stop(client as never);
  assert.equal(client._protocol._debug, undefined);
});

async function server(t: TestContext, config: string): Promise<TestSshd> {
  const sshd = await startSshd({ config: [config] });
  t.after(() => sshd.stop());
  return sshd;
}
