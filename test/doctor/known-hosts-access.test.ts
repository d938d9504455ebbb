import assert from 'node:assert/strict';
import { chmodSync, chownSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { giveFile, knownHostsProblems } from '../../src/doctor/known-hosts-access.ts';
import { startSshd } from '../support/sshd.ts';
import { specFor } from '../support/tunnel.ts';
import { tempDir } from '../support/until.ts';

const SERVICE = { name: 'service', uid: 65_534, gid: 65_534 };

test('finds known_hosts files that the service cannot read or write, and gives them to it', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root has files of others');
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const dir = await tempDir(t);
  const file = join(dir, 'known_hosts');
  writeFileSync(file, '');
  const look = async (mode: number, owner: [number, number], changes: Partial<ReturnType<typeof specFor>> = {}) => {
    chmodSync(file, mode);
    chownSync(file, ...owner);
    const spec = specFor(sshd, [[1, 2]], { userKnownHostsFiles: [file, join(dir, 'missing')], ...changes });
    return (await knownHostsProblems([spec], SERVICE)).map(({ result, text }) => `${result}: ${text}`);
  };
  assert.match((await look(0o600, [0, 0])).join(), /^fail: .*cannot be read by the service \(user service\)/);
  assert.match((await look(0o644, [0, 0])).join(), /^warn: .*cannot be written by the service/);
  assert.match((await look(0o640, [0, SERVICE.gid])).join(), /^warn: .*cannot be written/);
  assert.deepEqual(await look(0o640, [0, SERVICE.gid], { updateHostKeys: false }), []);
  assert.deepEqual(await look(0o600, [SERVICE.uid, 0]), []);
  chownSync(file, 0, 0);
  await giveFile(file, SERVICE);
  assert.equal(statSync(file).uid, SERVICE.uid);
});
