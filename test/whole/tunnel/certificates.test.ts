import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { makeKey } from '../../support/login.ts';
import { startSshd } from '../../support/sshd.ts';
import { doctor } from '../../support/run-doctor.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir } from '../../support/until.ts';

test('is up by a renewed certificate when the old one had expired, and says whom it is for and until when', async (t) => {
  const dir = await tempDir(t);
  const ca = makeKey(dir, 'ca', '-t', 'ed25519');
  const sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`] });
  t.after(() => sshd.stop());
  writeFileSync(sshd.authorizedKeysFile, '');
  const key = sshd.clientKey;
  const certify = (...options: readonly string[]) =>
    execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'device 7', '-z', '3', ...options, `${key}.pub`]);
  certify('-n', sshd.user, '-V', '20200101000000Z:20200102000000Z');
  const port = await freePort();
  const tunnel = startTunnel(t, specFor(sshd, [[port, 1]]));
  const { failure } = await tunnel.untilFailure('auth-rejected');
  assert.match(failure?.message ?? '', /-cert\.pub expired at 2020-01-02 00:00:00 UTC, \d+ days ago/);
  // The attempt of a tunnel that is blocked is made when a file that it needs changes: nobody has to retry.
  certify('-n', `${sshd.user},other`, '-V', `-1d:+10d`);
  const { certificate, login } = await tunnel.untilPhase('up');
  assert.deepEqual(
    [certificate?.file, certificate?.keyId, certificate?.serial, certificate?.principals],
    [`${key}-cert.pub`, 'device 7', '3', [sshd.user, 'other']],
  );
  assert.ok(certificate?.validUntil != null && certificate.validUntil > systemClock.wall());
  assert.match(login ?? '', /with the certificate \S+-cert\.pub \(ID "device 7", for \w+,other, until /);
  await tunnel.stop();
  certify('-n', sshd.user, '-V', '-1d:+10d', '-O', 'no-port-forwarding');
  const useless = startTunnel(t, specFor(sshd, [[port, 1]]));
  const lacks =
    /refused to listen on \S+: the certificate \S+-cert\.pub lacks permit-port-forwarding: have its authority/;
  assert.match((await useless.untilFailure('forward-refused')).failure?.message ?? '', lacks);
  await useless.stop();
  const tried = await doctor(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:1`)}`);
  assert.match(tried.of('forward')[0]?.seen ?? '', lacks);
  certify('-n', sshd.user, '-V', '-9d:+1h');
  const report = await doctor(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:1`)}`);
  const [step] = report.of('authentication');
  assert.equal(step?.result, 'warn');
  assert.match(step?.seen ?? '', /-cert\.pub expires at \S+ \S+ UTC, in \d+ min: renew it/);
});

test('shows what a server offers when no cipher is in common, in status, log, doctor and init', async (t) => {
  const sshd = await startSshd({ config: ['Ciphers aes128-cbc,aes256-cbc'] });
  t.after(() => sshd.stop());
  const offered = /no cipher in common: the server offers aes128-cbc, aes256-cbc; ciphers here allows aes128-gcm/;
  const port = await freePort();
  const tunnel = startTunnel(t, specFor(sshd, [[port, 1]]));
  const { failure } = await tunnel.untilFailure('no-common-algorithm');
  assert.match(failure?.message ?? '', offered);
  await tunnel.stop();
  assert.ok(tunnel.lines.some((line) => offered.test(JSON.stringify(line))));
  const report = await doctor(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:1`)}`);
  assert.ok(report.steps.some(({ result, seen }) => result === 'fail' && offered.test(seen)));
  const home = await tempDir(t);
  const config = ['--config', join(home, 'config.yaml')];
  const init = await tunneld(['init', `limited@127.0.0.1:${sshd.port}`, '-R', '8080:localhost:22', ...config]);
  assert.match(init.stderr + init.stdout, offered);
  assert.notEqual(init.code, 0);
});
