import assert from 'node:assert/strict';
import crypto, { createDiffieHellman, createDiffieHellmanGroup, createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { openGroup as openGroupWith } from '../../../../src/connection/ssh2/kex/group-exchange.ts';
import {
  modularPower,
  PATIENCE_MS,
  type Power,
  powerInWorker,
} from '../../../../src/connection/ssh2/kex/modular-power.ts';
import { systemClock, type Clock } from '../../../../src/lib/async/clock.ts';
import { pattern, startEcho, startSource } from '../../../support/echo.ts';
import { startSshd } from '../../../support/sshd.ts';
import { specFor, startTunnel } from '../../../support/tunnel.ts';
import { freePort, tempDir } from '../../../support/until.ts';
import { startFaultyRelay } from '../../../support/faulty-relay.ts';

/** Safe primes that are no standard's, 2 to the power of the first minus the second: OpenSSL would test them. */
const PRIMES = [
  [2048, 1942289n],
  [3072, 1103717n],
  [4096, 10895177n],
  [8192, 43644929n],
] as const;

test('is up when a server exchanges groups only, up to 8192 bits, and computes large numbers beside the loop', async (t) => {
  const large = watchLargeKeys(t);
  const { sshd, offer } = await startGroupServer(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  for (const [bits, minus] of PRIMES) {
    offer(bits, minus);
    const tunnel = startTunnel(t, specFor(sshd, [[await freePort(), echo.port]], PATIENT), { clock: patient });
    await tunnel.untilPhase('up');
    await tunnel.stop();
  }
  // The groups that have a name are as large.
  const named = await startSshd({ config: ['KexAlgorithms diffie-hellman-group18-sha512'] });
  t.after(() => named.stop());
  const byName = startTunnel(t, specFor(named, [[await freePort(), echo.port]], PATIENT), { clock: patient });
  await byName.untilPhase('up');
  assert.deepEqual(large(), []);
  // Whoever sits in between can send any group, before a host key is judged.
  offer(...PRIMES[0]);
  const between = await startFaultyRelay(t, sshd.port, (piece) => {
    const at = piece.indexOf(Buffer.alloc(200, 0xff));
    if (at >= 0) piece[at + 255]! &= 0xfe;
    return piece;
  });
  const tunnel = startTunnel(t, specFor(sshd, [[await freePort(), echo.port]], { port: between.port }));
  const { failure } = await tunnel.untilFailure('handshake-failed');
  assert.match(failure?.message ?? '', /prime is even/);
});

test('loses nothing when keys are exchanged so in the middle of transfers', async (t) => {
  const { sshd, offer } = await startGroupServer(t, ['RekeyLimit 1M', 'LogLevel DEBUG1']);
  offer(...PRIMES[1]);
  const bytes = 3_000_000;
  const [source, echo] = [await startSource(bytes), await startEcho()];
  t.after(() => Promise.all([source.close(), echo.close()]));
  const [down, both] = [await freePort(), await freePort()];
  const tunnel = startTunnel(t, specFor(sshd, [[down, source.port], [both, echo.port]], PATIENT)); // oxfmt-ignore
  await tunnel.untilPhase('up');
  const [received, echoed] = await Promise.all([
    buffer(connect(down, '127.0.0.1').end()),
    buffer(connect({ port: both, host: '127.0.0.1', allowHalfOpen: true }).end(pattern(0, bytes))),
  ]);
  assert.ok(received.equals(pattern(0, bytes)));
  assert.ok(echoed.equals(pattern(0, bytes)));
  const rekeys = sshd.log().match(/ssh_set_newkeys: rekeying out/g)?.length ?? 0;
  assert.ok(rekeys >= 2, `${rekeys} rekeys`);
  assert.deepEqual([tunnel.state().failure, sshd.log().match(/Accepted publickey/g)?.length], [null, 1]);
});

/** A machine that is busy with other tests may need seconds for a thread. */
const PATIENT = { connectTimeoutMs: 60_000 };
const patient: Clock = {
  ...systemClock,
  timer: (ms, fire) => systemClock.timer(ms === PATIENCE_MS ? 60_000 : ms, fire),
};

/** Exchanges groups only, and has one. */
async function startGroupServer(t: TestContext, config: readonly string[] = []) {
  const moduli = join(await tempDir(t), 'moduli');
  const sshd = await startSshd({
    config: ['KexAlgorithms diffie-hellman-group-exchange-sha256', `ModuliFile ${moduli}`, ...config],
  });
  t.after(() => sshd.stop());
  // moduli(5): time, safe prime, how it was tested and how often, bits less one, generator, prime.
  const offer = (bits: number, minus: bigint) =>
    writeFileSync(moduli, `20260101000000 2 6 100 ${bits - 1} 2 ${(2n ** BigInt(bits) - minus).toString(16)}\n`);
  return { sshd, offer };
}

/** The sizes, in bytes, of the numbers that are computed in this thread and should not be, from now on. */
function watchLargeKeys(t: TestContext): () => readonly number[] {
  const sizes: number[] = [];
  const create = crypto.createPrivateKey;
  t.mock.method(crypto, 'createPrivateKey', (key: { readonly type?: string; readonly key: Buffer }) => {
    // Of 2048 bits, with generator and exponent.
    if (key.type === 'pkcs8' && key.key.length > 700) sizes.push(key.key.length);
    return create(key as Parameters<typeof create>[0]);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  return () => sizes;
}

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

const openGroup = (prime: Buffer, generator: Buffer) =>
  openGroupWith(prime, generator, MIN, MAX, async (...numbers) => modularPower(...numbers));

test('comes to the secret that OpenSSL has, also when numbers begin with zeros', async () => {
  // As one in 256 does: those of these exponents in the order of their names, and the secret of the last.
  const exponent = (seed: number) => createHash('sha512').update(String(seed)).digest();
  const pairs = { none: [0, 1], ours: [50, 1], theirs: [1, 50], both: [387, 50], secret: [4, 11] } as const;
  for (const [zeros, [own, other]] of Object.entries(pairs)) {
    const power: Power = async (base, _, modulus) => modularPower(base, exponent(own), modulus);
    const ours = await openGroupWith(SENT, TWO, MIN, MAX, power);
    const theirs = createDiffieHellman(PRIME, TWO);
    theirs.setPrivateKey(exponent(other));
    const numbers = { ours: ours.generateKeys(), theirs: theirs.generateKeys() };
    const secret = theirs.computeSecret(numbers.ours);
    const begin = Object.entries({ ...numbers, secret }).flatMap(([name, bytes]) =>
      startsWithZero(bytes) ? [name] : [],
    );
    assert.deepEqual(begin, { none: [], both: ['ours', 'theirs'] }[zeros] ?? [zeros]);
    await ours.prepareSecret(mpint(numberOf(numbers.theirs)));
    assert.equal(numberOf(ours.computeSecret()), numberOf(secret), zeros);
  }
  for (let round = 0; round < 20; round++) {
    const [ours, theirs] = [await openGroup(SENT, TWO), createDiffieHellmanGroup('modp14')];
    const expected = theirs.generateKeys() && theirs.computeSecret(ours.generateKeys());
    await ours.prepareSecret(mpint(numberOf(theirs.getPublicKey())));
    assert.equal(numberOf(ours.computeSecret()), numberOf(expected));
  }
});

const numberOf = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`);
/** As long as the prime. */
const startsWithZero = (bytes: Buffer) => numberOf(bytes) < 2n ** 2040n;

test('refuses a group before anything is computed with it when it was not asked for, or is none', async () => {
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
    await assert.rejects(openGroup(prime, generator), message);
  }
});

test('refuses a number of the server when it gives the secret away', async () => {
  const value = BigInt(`0x${PRIME.toString('hex')}`);
  const group = await openGroup(SENT, TWO);
  assert.throws(() => group.computeSecret(), /was not computed/);
  const theirs = [Buffer.alloc(0), mpint(0n), mpint(1n), mpint(value - 1n), SENT, mpint(value + 5n), PRIME];
  for (const number of theirs) {
    await group.prepareSecret(number);
    assert.throws(() => group.computeSecret(), /public number is (?:out of range|negative)/);
  }
  await group.prepareSecret(mpint(2n ** 2000n));
  assert.throws(() => group.computeSecret(), /too easy to guess/);
});

test('computes the number all the same when no thread is to be had soon', async () => {
  const [bits, minus] = PRIMES[2];
  const numbers = [TWO, Buffer.alloc(64, 0xa5), mpint(2n ** BigInt(bits) - minus)] as const;
  const hasty: Clock = { ...systemClock, timer: (_ms, fire) => systemClock.timer(0, fire) };
  const expected = modularPower(...numbers);
  assert.ok((await powerInWorker(hasty, ...numbers)).equals(expected));
  assert.ok((await powerInWorker(systemClock, ...numbers)).equals(expected));
});
