import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { daemonAccount } from '../../src/commands/find/daemon-account.ts';
import { giveFile, knownHostsProblems } from '../../src/doctor/known-hosts-access.ts';
import { replaceHostKeys } from '../../src/setup/replace-host-keys.ts';
import { appendKnownHosts, rewriteKnownHosts } from '../../src/connection/known-hosts/file.ts';
import { hostQuery } from '../../src/connection/known-hosts/check-host-key.ts';
import { startSshd } from '../support/sshd.ts';
import { specFor } from '../support/tunnel.ts';
import { tempDir } from '../support/until.ts';

const SERVICE = { name: 'service', uid: 65_534, gid: 65_534 };

test('finds known_hosts files when the service cannot read or write them, and gives them to it', async (t) => {
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
  assert.match((await look(0o600, [0, 0])).join(), /^fail: .*cannot be read by the daemon \(user service\)/);
  assert.match((await look(0o644, [0, 0])).join(), /^warn: .*cannot be written by the daemon/);
  assert.match((await look(0o640, [0, SERVICE.gid])).join(), /^warn: .*cannot be written/);
  assert.deepEqual(await look(0o640, [0, SERVICE.gid], { updateHostKeys: false }), []);
  assert.deepEqual(await look(0o600, [SERVICE.uid, 0]), []);
  chownSync(file, 0, 0);
  await giveFile(file, SERVICE);
  assert.equal(statSync(file).uid, SERVICE.uid);
});

test('takes the account of the process when a daemon is no installed service', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root starts processes of others');
  const start = (uid: number) => {
    const child = spawn('sleep', ['1000'], { uid, gid: 65_534, stdio: 'ignore' });
    t.after(() => child.kill());
    return { pid: child.pid!, config: '/config' };
  };
  const nobody = start(65_534);
  assert.equal((await daemonAccount(nobody, '/config'))?.uid, 65_534);
  assert.deepEqual(await daemonAccount(start(54_321), '/config'), { name: '54321', uid: 54_321, gid: 65_534 });
  assert.equal(await daemonAccount(nobody, '/another'), null);
  assert.equal(await daemonAccount(start(0), '/config'), null);
  assert.equal(await daemonAccount(null, '/config'), null);
});

test('is not led by a link when the service has put one in the place of a folder', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root has files of others');
  const dir = await tempDir(t);
  const [roots, home] = [join(dir, 'roots'), join(dir, 'home')];
  for (const folder of [roots, home]) mkdirSync(folder);
  writeFileSync(join(roots, 'known_hosts'), 'of root\n', { mode: 0o600 });
  symlinkSync(roots, join(home, '.ssh'));
  lchownSync(join(home, '.ssh'), SERVICE.uid, SERVICE.gid);
  const file = join(home, '.ssh', 'known_hosts');
  const key = Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from('ssh-ed25519'),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(32),
  ]);
  const refused = /is a link of user 65534, which root does not follow/;
  await assert.rejects(giveFile(file, SERVICE), refused);
  await assert.rejects(replaceHostKeys(file, hostQuery('server', 22, null), [key], [key]), refused);
  await assert.rejects(appendKnownHosts(file, ['server ssh-ed25519 AAAA']), refused);
  await assert.rejects(rewriteKnownHosts(file, { add: ['x'], remove: () => true }), refused);
  assert.equal(statSync(join(roots, 'known_hosts')).uid, 0);
  assert.equal(readFileSync(join(roots, 'known_hosts'), 'utf8'), 'of root\n');
});
