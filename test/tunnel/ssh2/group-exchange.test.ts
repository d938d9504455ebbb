import assert from 'node:assert/strict';
import { createDiffieHellmanGroup } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openGroup } from '../../../src/connection/ssh2/group-exchange.ts';
import { startEcho } from '../../support/echo.ts';
import { watchLoop } from '../../support/loop-delay.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir } from '../../support/until.ts';
import { startFaultyRelay } from '../faulty-relay.ts';
import { visit } from '../visit.ts';

/** Safe primes that are no standard's, 2 to the power of the first minus the second: OpenSSL would test them. */
const PRIMES = [
  [2048, 1942289n],
  [3072, 1103717n],
  [4096, 10895177n],
  [8192, 43644929n],
] as const;

test('a server that exchanges groups only is reached, up to 8192 bits, and what is served meanwhile does not stop', async (t) => {
  const moduli = join(await tempDir(t), 'moduli');
  const sshd = await startSshd({
    config: ['KexAlgorithms diffie-hellman-group-exchange-sha256', `ModuliFile ${moduli}`],
  });
  t.after(() => sshd.stop());
  const other = await startSshd();
  t.after(() => other.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const served = await freePort();
  await startTunnel(t, specFor(other, [[served, echo.port]])).untilPhase('up');
  // moduli(5): time, safe prime, how it was tested and how often, bits less one, generator, prime.
  const offer = (bits: number, prime: bigint) =>
    writeFileSync(moduli, `20260101000000 2 6 100 ${bits - 1} 2 ${prime.toString(16)}\n`);
  for (const [bits, minus] of PRIMES) {
    offer(bits, 2n ** BigInt(bits) - minus);
    const longest = watchLoop();
    const tunnel = startTunnel(t, specFor(sshd, [[await freePort(), echo.port]]));
    const up = tunnel.untilPhase('up', 20_000);
    assert.equal(await visit(served, 'hello'), 'hello');
    await up;
    const ms = longest();
    t.diagnostic(`${bits} bits: the loop stood still for ${ms} ms`);
    // The test of the largest takes half a minute; what is left of it is noise.
    assert.ok(ms < 2000, `${ms} ms with ${bits} bits`);
    await tunnel.stop();
  }
  // Whoever sits in between can send any group, before a host key is judged.
  offer(2048, 2n ** 2048n - 1942289n);
  const between = await startFaultyRelay(t, sshd.port, (piece) => {
    const at = piece.indexOf(Buffer.alloc(200, 0xff));
    if (at >= 0) piece[at + 255]! &= 0xfe;
    return piece;
  });
  const tunnel = startTunnel(t, specFor(sshd, [[await freePort(), echo.port]], { port: between.port }));
  const { failure } = await tunnel.untilFailure('handshake-failed');
  assert.match(failure?.message ?? '', /prime is even/);
});

const PRIME = createDiffieHellmanGroup('modp14').getPrime();
const [MIN, MAX] = [2048, 8192];
const TWO = Buffer.of(2);
/** As an mpint: with a zero in front of a highest bit. */
const mpint = (value: bigint) => {
  const digits = Buffer.from(
    value
      .toString(16)
      .padStart(2, '0')
      .replace(/^(?=(?:..)*.$)/, '0'),
    'hex',
  );
  return digits[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits;
};
const SENT = mpint(BigInt(`0x${PRIME.toString('hex')}`));

test('both sides come to the same secret, as OpenSSL has it, also where numbers begin with zeros', () => {
  for (let round = 0; round < 300; round++) {
    const [ours, theirs] = [openGroup(SENT, TWO, MIN, MAX), createDiffieHellmanGroup('modp14')];
    const expected = theirs.generateKeys() && theirs.computeSecret(ours.generateKeys());
    const secret = ours.computeSecret(mpint(BigInt(`0x${theirs.getPublicKey('hex')}`)));
    assert.equal(BigInt(`0x${secret.toString('hex')}`), BigInt(`0x${expected.toString('hex')}`));
  }
});

test('a group that was not asked for, or is none, is refused before anything is computed with it', () => {
  const value = BigInt(`0x${PRIME.toString('hex')}`);
  const refused: readonly (readonly [Buffer, Buffer, RegExp])[] = [
    [mpint(2n ** 1024n - 1093337n), TWO, /has 1024 bits, and 2048 to 8192/],
    [mpint(2n ** 8198n + 1n), TWO, /has 8199 bits, and 2048 to 8192/],
    [Buffer.alloc(30_000, 0x7f), TWO, /prime is too long/],
    [Buffer.alloc(0), TWO, /has 1 bits/],
    [PRIME, TWO, /prime is negative/],
    [mpint(value - 1n), TWO, /is even/],
    [SENT, Buffer.alloc(0), /generator is out of range/],
    [SENT, mpint(1n), /generator is out of range/],
    [SENT, mpint(value - 1n), /generator is out of range/],
    [SENT, SENT, /generator is out of range/],
    [SENT, Buffer.of(0xff), /generator is negative/],
  ];
  for (const [prime, generator, message] of refused) {
    assert.throws(() => openGroup(prime, generator, MIN, MAX), message);
  }
});

test("a server's number that gives the secret away is refused", () => {
  const value = BigInt(`0x${PRIME.toString('hex')}`);
  const group = openGroup(SENT, TWO, MIN, MAX);
  const theirs = [Buffer.alloc(0), mpint(0n), mpint(1n), mpint(value - 1n), SENT, mpint(value + 5n), PRIME];
  for (const number of theirs)
    assert.throws(() => group.computeSecret(number), /public number is (?:out of range|negative)/);
  assert.throws(() => group.computeSecret(mpint(2n ** 2000n)), /too easy to guess/);
});
