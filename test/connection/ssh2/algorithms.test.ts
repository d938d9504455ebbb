import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  DEFAULT_CIPHERS,
  DEFAULT_KEX_ALGORITHMS,
  DEFAULT_MACS,
  isPostQuantum,
  PLAIN_HOST_KEY_ALGORITHMS,
} from '../../../src/model/algorithms.ts';
import { algorithmsToScan } from '../../../src/connection/ssh2/algorithms.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort } from '../../support/until.ts';

test('finds the lists in the manual in the order in which they are offered', () => {
  const manual = readFileSync(join(import.meta.dirname, '../../../docs/configuration.md'), 'utf8');
  const postQuantum = DEFAULT_KEX_ALGORITHMS.filter(isPostQuantum);
  assert.deepEqual(DEFAULT_KEX_ALGORITHMS.slice(0, postQuantum.length), postQuantum);
  for (const [option, names] of [
    ['ciphers', DEFAULT_CIPHERS],
    ['kexAlgorithms', postQuantum],
    ['hostKeyAlgorithms', PLAIN_HOST_KEY_ALGORITHMS],
  ] as const)
    assert.ok(manual.includes(`- \`${option}\`: \`${names.join(',')}\``), option);
});

test('offers what the manual lists, in its order, and no SHA-1 for host keys unless told to', async (t) => {
  const sshd = await startSshd({ config: ['LogLevel DEBUG2'] });
  t.after(() => sshd.stop());
  const tunnel = startTunnel(t, specFor(sshd, [[1, 1]]));
  // The list of a client comes after that of the server itself.
  const [, proposal = ''] = await sshd.waitForLog(/peer client KEXINIT proposal([^]*?compression stoc)/);
  const offered = (what: string) => new RegExp(`debug2: ${what}: (\\S*)`).exec(proposal)?.[1];
  const signals = /,(?:ext-info-c|kex-strict-c-v00@openssh\.com)(?=,|$)/g;
  assert.equal(offered('KEX algorithms')?.replaceAll(signals, ''), DEFAULT_KEX_ALGORITHMS.join(','));
  assert.equal(offered('host key algorithms'), PLAIN_HOST_KEY_ALGORITHMS.join(','));
  assert.ok(!PLAIN_HOST_KEY_ALGORITHMS.includes('ssh-rsa'));
  for (const direction of ['ctos', 'stoc']) {
    assert.equal(offered(`ciphers ${direction}`), DEFAULT_CIPHERS.join(','));
    assert.equal(offered(`MACs ${direction}`), DEFAULT_MACS.join(','));
  }
  await tunnel.stop();
});

test('refuses a server that signs by SHA-1 alone, with what it offers, unless a person asks for it', async (t) => {
  const sshd = await startSshd({ hostKeyTypes: ['rsa'], config: ['HostKeyAlgorithms ssh-rsa'] });
  t.after(() => sshd.stop());
  const refused = startTunnel(t, specFor(sshd, [[1, 1]]));
  const { failure } = await refused.untilFailure('no-common-algorithm');
  assert.match(failure?.message ?? '', /^no host key algorithm in common: the server offers ssh-rsa; /);
  const asked = startTunnel(
    t,
    specFor(sshd, [[await freePort(), 1]], { hostKeyAlgorithms: [...PLAIN_HOST_KEY_ALGORITHMS, 'ssh-rsa'] }),
  );
  const { algorithms } = await asked.untilPhase('up');
  assert.equal(algorithms?.hostKey, 'ssh-rsa');
});

test('offers the exchanges that resist a quantum computer last when it scans, and to a tunnel first', () => {
  const { kex } = algorithmsToScan() as { readonly kex: readonly string[] };
  assert.deepEqual(kex.toSorted(), DEFAULT_KEX_ALGORITHMS.toSorted());
  const first = kex.findIndex(isPostQuantum);
  assert.equal(kex[0], 'curve25519-sha256');
  assert.ok(first > 0 && kex.slice(first).every(isPostQuantum), kex.join(','));
});
