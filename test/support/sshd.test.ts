import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { startSshd, type SshdOptions, type TestSshd } from './sshd.ts';
import { until } from './until.ts';

const run = promisify(execFile);

async function sshdFor(t: TestContext, options?: SshdOptions): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

/** Arguments for a stock ssh that trusts exactly this server. */
function sshArguments(sshd: TestSshd, host = '127.0.0.1'): string[] {
  const knownHosts = join(sshd.dir, 'known_hosts');
  writeFileSync(knownHosts, sshd.knownHostsLine(host));
  const options = `
    BatchMode=yes StrictHostKeyChecking=yes UserKnownHostsFile=${knownHosts}
    IdentitiesOnly=yes IdentityFile=${sshd.clientKey} User=${sshd.user} Port=${sshd.port}`;
  const flags = options.trim().split(/\s+/);
  return ['-F', 'none', ...flags.flatMap((option) => ['-o', option]), host];
}

test('lets a stock ssh in, on both addresses and with every type of host key', async (t) => {
  const sshd = await sshdFor(t, { ipv6: true, hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] });
  assert.equal((await run('ssh', [...sshArguments(sshd), 'echo four'])).stdout, 'four\n');
  assert.equal((await run('ssh', [...sshArguments(sshd, '::1'), 'echo six'])).stdout, 'six\n');
  for (const { publicKey } of sshd.hostKeys) {
    const type = publicKey.split(' ')[0] ?? '';
    const args = ['-o', `HostKeyAlgorithms=${type === 'ssh-rsa' ? 'rsa-sha2-512' : type}`, ...sshArguments(sshd)];
    assert.equal((await run('ssh', [...args, 'echo key'])).stdout, 'key\n');
  }
  assert.equal(statSync(sshd.clientKey).mode & 0o777, 0o600);
  await sshd.waitForLog(/Accepted publickey for (\S+)/);
});

test('takes key options and lines of configuration', async (t) => {
  const sshd = await sshdFor(t, {
    keyOptions: 'restrict,command="echo forced"',
    config: ['LogLevel DEBUG1', 'Match Address 127.0.0.1', '  AllowTcpForwarding no'],
  });
  assert.equal((await run('ssh', [...sshArguments(sshd), 'echo mine'])).stdout, 'forced\n');
  await sshd.waitForLog(/debug1: /);
});

test('fails at once and says why when the configuration is broken', async () => {
  await assert.rejects(startSshd({ config: ['NoSuchOption yes'] }), /NoSuchOption/);
});

test('counts, freezes and kills sessions, and comes back on its port', async (t) => {
  const sshd = await sshdFor(t);
  const login = () => spawn('ssh', [...sshArguments(sshd), 'cat'], { stdio: ['pipe', 'pipe', 'pipe'] });

  const first = login();
  first.stdin.write('ping\n');
  await once(first.stdout, 'data');
  assert.equal(sshd.sessions().length, 1);

  sshd.freeze();
  let answered = false;
  first.stdout.once('data', () => (answered = true));
  first.stdin.write('are you there\n');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(answered, false);
  sshd.thaw();
  await until(() => answered, { what: 'the answer after thawing' });

  const firstGone = once(first, 'exit');
  sshd.killSessions();
  assert.deepEqual(await firstGone, [255, null]);
  await until(() => sshd.sessions().length === 0, { what: 'no session' });

  const second = login();
  second.stdin.write('ping\n');
  await once(second.stdout, 'data');
  const secondGone = once(second, 'exit');
  await sshd.kill();
  assert.deepEqual(await secondGone, [255, null]);
  assert.deepEqual(sshd.sessions(), []);
  await assert.rejects(run('ssh', [...sshArguments(sshd), 'true']), /Connection refused/);

  await sshd.restart();
  assert.equal((await run('ssh', [...sshArguments(sshd), 'echo back'])).stdout, 'back\n');
});

test('leaves nothing behind when it is stopped', async () => {
  const sshd = await startSshd();
  await sshd.stop();
  await sshd.stop();
  assert.deepEqual(sshd.sessions(), []);
  await assert.rejects(run('ssh', [...sshArguments(sshd), 'true']), /Connection refused/);
});
