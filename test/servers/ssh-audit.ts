/**
 * What ssh-audit finds weak in the algorithms that a client offers: nothing more in ours than in those of OpenSSH 10. Both
 * are those of Debian 13: run by `npm run test:trixie`, as root.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { startModernSshd } from '../support/modern-sshd.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort, isRemembered, until } from '../support/until.ts';

test('ssh-audit finds no fault with our algorithms that it does not find with those of OpenSSH 10', async (t) => {
  const root = process.env['TUNNELD_BOX_ROOT'] ?? assert.fail('TUNNELD_BOX_ROOT is not set: npm run test:trixie');
  const theirs = await audit(t, root, (port) => {
    const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'];
    const args = ['ssh', '-F', 'none', ...options.flatMap((each) => ['-o', each]), '-p', String(port), '127.0.0.1'];
    spawn('chroot', [root, ...args], { stdio: 'ignore' });
  });
  const sshd = await startModernSshd(t);
  const ours = await audit(t, root, (port) => void startTunnel(t, specFor(sshd, [[1, 1]], { port })));
  t.diagnostic(`ours: ${ours.offered.length} algorithms, ${ours.faults.length} faults`);
  t.diagnostic(`OpenSSH: ${theirs.offered.length} algorithms, ${theirs.faults.length} faults`);
  assert.ok(theirs.faults.length > 0 && ours.offered.includes('mlkem768x25519-sha256'), ours.offered.join());
  assert.deepEqual(
    ours.faults.filter((fault) => !theirs.faults.includes(fault)),
    [],
  );
});

interface Audit {
  readonly offered: readonly string[];
  /** An algorithm, and what is wrong with it. */
  readonly faults: readonly string[];
}

async function audit(t: TestContext, root: string, connect: (port: number) => void): Promise<Audit> {
  const port = await freePort();
  const auditor = spawn('chroot', [root, 'ssh-audit', '-c', '-j', '-p', String(port), '-t', '60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => auditor.kill());
  const output = text(auditor.stdout);
  // It takes one connection: nobody else may try.
  await until(() => isRemembered(port), { what: 'ssh-audit to listen' });
  connect(port);
  const report = JSON.parse(await output) as Record<'kex' | 'key' | 'enc' | 'mac', readonly Finding[]>;
  const all = [...report.kex, ...report.key, ...report.enc, ...report.mac];
  return {
    offered: all.map(({ algorithm }) => algorithm),
    faults: all.flatMap(({ algorithm, notes: { fail = [], warn = [] } }) =>
      [...fail, ...warn].map((fault) => `${algorithm}: ${fault}`),
    ),
  };
}

interface Finding {
  readonly algorithm: string;
  readonly notes: { readonly fail?: readonly string[]; readonly warn?: readonly string[] };
}
