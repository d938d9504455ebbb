/** Keys of a TPM (a software one) through ssh-agent and PKCS#11, with and without a certificate: run by `npm run test:servers`. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { logIn, makeKey, specFor } from '../support/login.ts';
import { startSshd } from '../support/sshd.ts';
import { tempDir, until } from '../support/until.ts';

const PIN = 'correct';

test(
  'logs in with the RSA and ECDSA keys of a TPM when an agent has them by PKCS#11',
  { timeout: 120_000 },
  async (t) => {
    const dir = await tempDir(t);
    const ca = makeKey(dir, 'ca', '-t', 'ed25519');
    const sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`] });
    t.after(() => sshd.stop());
    const { identityAgent, publicKeys } = await startTpmAgent(t, dir);
    const types = publicKeys.map((line) => line.split(' ', 1)[0]!);
    assert.deepEqual(new Set(types), new Set(['ssh-rsa', 'ecdsa-sha2-nistp256']));
    for (const [index, line] of publicKeys.entries()) {
      const spec = specFor({ port: sshd.port, user: sshd.user, identityAgent });
      writeFileSync(sshd.authorizedKeysFile, `${line}\n`);
      const plain = await logIn(spec);
      assert.ok(plain.ok, plain.message);

      writeFileSync(sshd.authorizedKeysFile, '');
      const file = join(dir, `tpm${index}`);
      writeFileSync(`${file}.pub`, `${line}\n`);
      execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'device', '-n', sshd.user, `${file}.pub`]);
      const certified = await logIn({ ...spec, certificateFiles: [`${file}-cert.pub`] });
      assert.ok(certified.ok, certified.message);
      assert.equal((await logIn(spec)).ok, false);
    }
  },
);

/** An agent whose keys are in a TPM of its own, and what it has. */
async function startTpmAgent(
  t: TestContext,
  dir: string,
): Promise<{ readonly identityAgent: string; readonly publicKeys: readonly string[] }> {
  const [library = assert.fail('libtpm2-pkcs11-1')] = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
    .map((folder) => join(folder, 'libtpm2_pkcs11.so.1'))
    .filter((path) => existsSync(path));
  const state = join(dir, 'tpm');
  mkdirSync(state);
  const socket = join(dir, 'tpm.sock');
  const files = ['--tpmstate', `dir=${state}`, '--server', `type=unixio,path=${socket}`];
  const control = ['--ctrl', `type=unixio,path=${socket}.ctrl`, '--flags', 'not-need-init,startup-clear'];
  const tpm = spawn('swtpm', ['socket', '--tpm2', ...files, ...control], { stdio: 'ignore' });
  t.after(() => tpm.kill('SIGKILL'));
  await until(() => existsSync(socket), { what: 'the TPM' });
  // A TPM has room for three keys at once: a program of their own takes turns, which is reached by D-Bus.
  const address = `unix:path=${join(dir, 'bus.sock')}`;
  const bus = spawn('dbus-daemon', ['--session', '--nofork', '--nopidfile', `--address=${address}`], {
    stdio: 'ignore',
  });
  t.after(() => bus.kill('SIGKILL'));
  await until(() => existsSync(join(dir, 'bus.sock')), { what: 'the bus' });
  const busEnv = { ...process.env, DBUS_SESSION_BUS_ADDRESS: address };
  const manager = spawn('tpm2-abrmd', ['--session', '--allow-root', `--tcti=swtpm:path=${socket}`], {
    env: busEnv,
    stdio: 'ignore',
  });
  t.after(() => manager.kill('SIGKILL'));
  const tcti = 'tabrmd:bus_type=session';
  const isReady = () => spawnSync('tpm2_getcap', ['-T', tcti, 'algorithms'], { env: busEnv }).status === 0;
  await until(isReady, { what: 'the resource manager' });
  const store = join(dir, 'store');
  mkdirSync(store);
  const askPin = join(dir, 'pin.sh');
  writeFileSync(askPin, `#!/bin/sh\necho ${PIN}\n`);
  chmodSync(askPin, 0o755);
  const identityAgent = join(dir, 'agent.sock');
  const env = {
    ...busEnv,
    TPM2_PKCS11_STORE: store,
    TPM2_PKCS11_TCTI: tcti,
    TPM2TOOLS_TCTI: tcti,
    SSH_AUTH_SOCK: identityAgent,
    SSH_ASKPASS: askPin,
    SSH_ASKPASS_REQUIRE: 'force',
  };
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { env, encoding: 'utf8' });
  run('tpm2_ptool', 'init');
  const token = ['--label=device', `--userpin=${PIN}`];
  run('tpm2_ptool', 'addtoken', '--pid=1', '--sopin=other', ...token);
  for (const algorithm of ['rsa2048', 'ecc256']) run('tpm2_ptool', 'addkey', `--algorithm=${algorithm}`, ...token);
  const agent = spawn('ssh-agent', ['-D', '-a', identityAgent], { env, stdio: 'ignore' });
  t.after(() => agent.kill('SIGKILL'));
  await until(() => existsSync(identityAgent), { what: 'the agent' });
  run('ssh-add', '-q', '-s', library);
  return { identityAgent, publicKeys: run('ssh-add', '-L').trim().split('\n') };
}
