import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startSshd } from '../support/sshd.ts';
import { tempDir } from '../support/until.ts';
import { createDice, nextMessage } from './messages.ts';
import { fuzzProofs } from './proofs.ts';
import { fuzzSessions } from './sessions.ts';

test('ends sessions with nothing left over when a server sends anything', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const report = await fuzzSessions(sshd, 3000, 1);
  t.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.findings, []);
  assert.ok(report.messages >= 3000 && report.sessions > 5);
});

test('believes no reply of a key exchange, no certificate and no signature that was changed', async (t) => {
  const report = await fuzzProofs(await tempDir(t), 600, 1);
  t.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.findings, []);
});

test('seals, opens and sends nothing by the addon that a sanitizer objects to', () => {
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  assert.equal(execFileSync('sh', ['test/fuzz/packets.sh', '2000'], { cwd, encoding: 'utf8' }), '2000 rounds\n');
});

test('makes the same messages when the seed is the same, a packet size of 0 among them', () => {
  const messages = (seed: number) => {
    const dice = createDice(seed);
    return Array.from({ length: 20_000 }, () => nextMessage(dice, 8080, [0, 1]).toString('latin1'));
  };
  const made = messages(7);
  assert.deepEqual(messages(7).slice(0, 100), made.slice(0, 100));
  const openings = made.filter((text) => text.startsWith('Z\0\0\0\u000fforwarded-tcpip'));
  assert.ok(
    openings.some((text) => text.slice(28, 32) === '\0\0\0\0'),
    'none with a packet size of 0',
  );
});
