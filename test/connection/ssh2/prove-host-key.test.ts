import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { createX25519 } from '../../../src/connection/ssh2/kex/x25519.ts';
import { proveHostKey, type Proof } from '../../../src/connection/ssh2/prove-host-key.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { NEVER } from '../../../src/lib/async/never.ts';
import { PLAIN_HOST_KEY_ALGORITHMS } from '../../../src/model/algorithms.ts';
import { fakeClock } from '../../support/clock.ts';
import { listen } from '../../support/listen.ts';
import { startDropbear } from '../../support/other-servers.ts';
import { startSshd } from '../../support/sshd.ts';

const own = createX25519();
const LONG = 60_000;

test('has a key of each type proven by OpenSSH and Dropbear, by one half for all, and of what arrives byte by byte', async (t) => {
  const sshd = await startSshd({ hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] });
  t.after(() => sshd.stop());
  for (const algorithms of [['ssh-ed25519'], ['ecdsa-sha2-nistp256'], ['rsa-sha2-512'], PLAIN_HOST_KEY_ALGORITHMS]) {
    const { greeting, hostKey } = await proofOf(await dial(t, sshd.port), algorithms);
    assert.match(String(greeting), /^SSH-2\.0-OpenSSH/);
    const types = algorithms.length > 1 ? ['ssh-ed25519'] : algorithms;
    const known = sshd.hostKeys.map(({ publicKey }) => publicKey.split(' ') as [string, string]);
    const [, key = ''] = known.find(([type]) => types.includes(type.replace('ssh-rsa', 'rsa-sha2-512'))) ?? [];
    assert.equal(hostKey?.toString('base64'), key);
  }
  const [, ed25519 = ''] = sshd.hostKeys[0]!.publicKey.split(' ');
  assert.equal((await proofOf(byteByByte(await dial(t, sshd.port)))).hostKey?.toString('base64'), ed25519);

  const dropbear = await startDropbear(t);
  const proof = await proofOf(await dial(t, dropbear.port));
  assert.ok(dropbear.knownHostsLine().includes(proof.hostKey!.toString('base64')));
});

test('takes what was recorded of an earlier exchange for no proof', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const recorded: Buffer[] = [];
  const socket = await dial(t, sshd.port);
  socket.on('data', (chunk: Buffer) => recorded.push(Buffer.from(chunk)));
  assert.notEqual((await proofOf(socket)).hostKey, null);
  const replay = createServer((one) => one.on('error', () => {}).write(Buffer.concat(recorded)));
  t.after(() => replay.close());
  const { greeting, hostKey, isLate } = await proofOf(await dial(t, await listen(replay)));
  assert.match(String(greeting), /^SSH-2\.0-OpenSSH/);
  assert.deepEqual([hostKey, isLate], [null, false]);
});

test('leaves a server without curve25519-sha256 to others', async (t) => {
  const sshd = await startSshd({ config: ['KexAlgorithms ecdh-sha2-nistp256'] });
  t.after(() => sshd.stop());
  const { greeting, hostKey, isLate } = await proofOf(await dial(t, sshd.port));
  assert.match(String(greeting), /^SSH-2\.0-OpenSSH/);
  assert.deepEqual([hostKey, isLate], [null, false]);
});

test('says what it saw of a peer that proves nothing', async () => {
  const packet = (text: string) => Buffer.from(`SSH-2.0-x\r\n${text}`, 'latin1');
  for (const said of [
    'HTTP/1.1 400\r\n',
    'SSH-1.5-x\r\n',
    packet('\0\0\0\x06\x04c\0\0\0\0'),
    packet('\0\0\0\x01\xff'),
    packet('\xff'.repeat(9)),
    'x'.repeat(300),
  ])
    assert.deepEqual(await proofOf(peer(said)), { greeting: Buffer.from(said), hostKey: null, isLate: false });
  for (const said of ['', 'no line'])
    assert.deepEqual(await proofOf(peer(said, 'ends')), { greeting: Buffer.from(said), hostKey: null, isLate: false });
  const clock = fakeClock();
  for (const [said, ms] of [
    ['no line', 5000],
    ['SSH-2.0-x\r\n', 5000],
    [packet('\0\0\x01\0'), 5000],
  ] as const) {
    const proof = proveHostKey(peer(said), { own, hostKeyAlgorithms: [] }, ms, clock, NEVER);
    await clock.advance(ms);
    const greeting = said === 'no line' ? null : Buffer.from(said);
    assert.deepEqual(await proof, { greeting, hostKey: null, isLate: true });
  }
  assert.equal(clock.pending(), 0);
  const caller = new AbortController();
  const proof = proveHostKey(peer(''), { own, hostKeyAlgorithms: [] }, LONG, clock, caller.signal);
  caller.abort(new Error('enough'));
  await assert.rejects(proof, /enough/);
  assert.equal(clock.pending(), 0);
});

function proofOf(stream: Duplex, hostKeyAlgorithms = PLAIN_HOST_KEY_ALGORITHMS): Promise<Proof> {
  return proveHostKey(stream, { own, hostKeyAlgorithms }, LONG, systemClock, NEVER);
}

async function dial(t: TestContext, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

function byteByByte(socket: Socket): Duplex {
  const slow = new Duplex({ read: () => {}, write: (chunk, _, done) => socket.write(chunk as Buffer, done) });
  socket.on('data', (chunk: Buffer) => {
    for (const byte of chunk) slow.push(Buffer.of(byte));
  });
  return slow;
}

/** Says this, and takes all that it is told. */
function peer(said: string | Buffer, after: 'waits' | 'ends' = 'waits'): Duplex {
  const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  if (said.length > 0) stream.push(said);
  if (after === 'ends') stream.push(null);
  return stream;
}
