import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { Channel } from '../../src/connection/ssh/connection.ts';
import { createX25519 } from '../../src/connection/ssh2/kex/x25519.ts';
import { fingerprint } from '../../src/connection/known-hosts/key-blob.ts';
import { judge, lookAtPort } from '../../src/fleet/verify.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { NEVER } from '../../src/lib/async/never.ts';
import { fakeClock } from '../support/clock.ts';
import { startSshd } from '../support/sshd.ts';

const KEY = Buffer.from('a host key');
const SHOWN = `SHA256:${'x'.repeat(43)}`;
const GREETING = Buffer.from('SSH-2.0-OpenSSH_9.2\r\n');
const SCAN = { hostKey: KEY, software: 'OpenSSH_9.2', error: '' };

test('verifies a port by the recorded host key alone', () => {
  const { seenHostKey } = judge(GREETING, SCAN, undefined);
  assert.equal(judge(GREETING, SCAN, undefined).verified, 'unknown');
  assert.equal(judge(GREETING, SCAN, seenHostKey).verified, 'yes');
  assert.equal(judge(GREETING, SCAN, SHOWN).trouble?.code, 'other-host-key');
  assert.equal(judge(GREETING, { ...SCAN, hostKey: null }, SHOWN).trouble?.code, 'no-ssh');
});

test('takes anything for well that answers at a port without a recorded key', () => {
  const web = Buffer.from('HTTP/1.1 \u001b[31m\r\n');
  const nothing = Buffer.alloc(0);
  assert.equal(judge(null, null, undefined).trouble, null);
  assert.equal(judge(web, null, undefined).trouble, null);
  assert.equal(judge(nothing, null, undefined).trouble?.code, 'no-answer');
  assert.equal(judge(nothing, null, SHOWN).trouble?.code, 'no-answer');
  assert.equal(judge(null, null, SHOWN).trouble?.code, 'no-answer');
  assert.match(judge(web, null, SHOWN).trouble!.message, /it says "HTTP\/1\.1 \\\\x1b\[31m"/);
});

test('verifies a server of any key exchange, and says why where there is none in common', async (t) => {
  for (const [exchange, visits] of [
    ['curve25519-sha256', 1],
    ['ecdh-sha2-nistp384', 2],
    ['diffie-hellman-group14-sha1', 2],
  ] as const) {
    const sshd = await startSshd({ config: [`KexAlgorithms ${exchange}`] });
    t.after(() => sshd.stop());
    let opened = 0;
    const open = () => {
      opened += 1;
      const socket = connect(sshd.port, '127.0.0.1');
      return Promise.resolve(Object.assign(socket, { close: () => socket.destroy() }) as Channel);
    };
    const hostKey = fingerprint(Buffer.from(sshd.hostKeys[0]!.publicKey.split(' ')[1]!, 'base64'));
    const nothing = { host: 'localhost', verified: 'unknown', visitors: 0, key: '', troubles: [] } as const;
    const device = { device: 'pi', user: 'pi', port: sshd.port, state: 'up', hostKey, ...nothing } as const;
    const sight = await lookAtPort({ open }, device, createX25519(), systemClock, NEVER);
    assert.equal(opened, visits);
    if (exchange.endsWith('sha1'))
      assert.match(JSON.stringify(sight), /no SSH server answers that has a host key.*diffie-hellman-group14-sha1/);
    else assert.deepEqual(sight, { verified: 'yes', seenHostKey: hostKey, trouble: null });
  }
});

test('judges no port by an sshd that takes no more connections, and visits it again', async () => {
  for (const [line, until] of [
    ['Exceeded MaxStartups\r\n', 2],
    ['Not allowed at this time\r\n', 9],
  ] as const) {
    const clock = fakeClock();
    let visits = 0;
    const open = () => {
      visits += 1;
      const said = visits > until ? 'HTTP/1.1 400\r\n' : line;
      const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
      stream.push(said);
      return Promise.resolve(Object.assign(stream, { close: () => {} }) as unknown as Channel);
    };
    const nothing = { host: null, verified: 'unknown', visitors: 0, key: '', troubles: [] } as const;
    const device = { device: 'pi', user: 'pi', port: 1, state: 'up', ...nothing } as const;
    const look = lookAtPort({ open }, device, createX25519(), clock, NEVER);
    await clock.advance(10_000);
    assert.deepEqual(await look, until === 2 ? { verified: 'unknown', trouble: null } : 'late');
    assert.equal(visits, until === 2 ? 3 : 4);
    assert.equal(clock.pending(), 0);
  }
});
