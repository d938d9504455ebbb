import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, tempDir } from '../../support/until.ts';

const PASSPHRASE = 'hush-e2b81f';
const PASSWORD = 'mum-77d0c4';

test('has no secret in any output, file or argument when it logs the most', async (t) => {
  const sshd = await startSshd({ config: ['PasswordAuthentication yes', 'KbdInteractiveAuthentication yes'] });
  t.after(() => sshd.stop());
  const dir = await tempDir(t);
  const write = (name: string, content: string) => {
    writeFileSync(join(dir, name), `${content}\n`, { mode: 0o600 });
    return join(dir, name);
  };
  const plain = readFileSync(sshd.clientKey, 'utf8');
  const locked = write('locked', plain.trimEnd());
  execFileSync('ssh-keygen', ['-q', '-p', '-a', '1', '-P', '', '-N', PASSPHRASE, '-f', locked]);
  const passphraseFile = write('passphrase', PASSPHRASE);
  const passwordFile = write('password', PASSWORD);
  const logFile = join(dir, 'tunneld.log');

  const unlocked = tunnelYaml(
    sshd,
    'unlocked',
    `${await freePort()}:localhost:22`,
    `    passphraseFile: ${passphraseFile}\n`,
  );
  const rejected = tunnelYaml(
    sshd,
    'rejected',
    `${await freePort()}:localhost:22`,
    `    passwordFile: ${passwordFile}\n`,
  );
  const wrong = tunnelYaml(sshd, 'wrong', `${await freePort()}:localhost:22`, `    passphraseFile: ${passwordFile}\n`);
  const daemon = await startDaemonProcess(
    t,
    `log: { level: trace, file: ${logFile} }\ntunnels:\n${unlocked.replace(sshd.clientKey, locked)}` +
      `${rejected.replace(`    identityFile: ${sshd.clientKey}\n`, '    identityFile: []\n')}${wrong.replace(sshd.clientKey, locked)}`,
  );
  const status = await daemon.untilStatus(
    ({ tunnels }) =>
      tunnels[0]?.phase === 'up' &&
      tunnels[1]?.failure?.code === 'auth-rejected' &&
      tunnels[2]?.failure?.code === 'key-passphrase',
    'a login, a rejection and a wrong passphrase',
  );
  daemon.signal('SIGHUP');
  const outputs = [
    JSON.stringify(status),
    (await daemon.command('status')).stdout,
    (await daemon.command('logs', '-n', '10000')).stdout,
    daemon.stderr(),
    readFileSync(`/proc/${daemon.pid}/cmdline`, 'utf8'),
    readFileSync(`/proc/${daemon.pid}/environ`, 'utf8'),
    readFileSync(logFile, 'utf8'),
    ...readdirSync(daemon.dir)
      .map((name) => join(daemon.dir, name))
      .filter((path) => statSync(path).isFile())
      .map((path) => readFileSync(path, 'utf8')),
  ];
  assert.ok(outputs.join('').length > 2000);
  const secrets = [PASSPHRASE, PASSWORD, ...plain.split('\n').filter((line) => line.length > 40)];
  assert.ok(secrets.length > 4);
  for (const secret of secrets) {
    for (const output of outputs) assert.ok(!output.includes(secret), `${secret} is in: ${output.slice(0, 2000)}`);
  }
});
