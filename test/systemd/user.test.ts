import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { withChecksum } from '../../src/install/systemd/checksum.ts';
import { freePort, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';
import { bootWithServer } from './installed-service.ts';

const HOME = '/srv/ada';
const RUN = '/run/user/4242';
const UNITS = '/srv/user-units';

test('serves a user as a service of his own', async (t) => {
  const world = await bootWithServer(t);
  if (world === null) return;
  const { box, sshd, echo } = world;
  await box.must('useradd', '--uid', '4242', '--user-group', '--home-dir', HOME, '--create-home', 'ada');
  await box.must('install', '-d', '-m', '700', '-o', 'ada', '-g', 'ada', RUN);
  // A service manager as a login starts one, with nothing of this machine's in it.
  mkdirSync(box.path(UNITS));
  writeFileSync(box.path(`${UNITS}/default.target`), '[Unit]\nDescription=nothing\n');
  for (const name of ['basic', 'sysinit', 'shutdown'])
    writeFileSync(box.path(`${UNITS}/${name}.target`), `[Unit]\nDefaultDependencies=no\n`);
  writeFileSync(
    box.path('/etc/systemd/system/login.service'),
    `[Service]\nType=notify\nUser=ada\nDelegate=yes\nKillSignal=SIGKILL\nEnvironment=XDG_RUNTIME_DIR=${RUN}\nEnvironment=SYSTEMD_UNIT_PATH=${HOME}/.config/systemd/user:${UNITS}\nExecStart=/lib/systemd/systemd --user\n`,
  );
  await box.must('systemctl', 'daemon-reload');
  await box.must('systemctl', 'start', 'login');
  const asAda = (...command: readonly string[]) =>
    box.run('runuser', '-u', 'ada', '--', 'env', `HOME=${HOME}`, `XDG_RUNTIME_DIR=${RUN}`, ...command);

  const port = await freePort();
  const config = `${HOME}/.config/tunneld/config.yaml`;
  const unit = `${HOME}/.config/systemd/user/tunnel.service`;

  await t.test('without a configuration it names the command that makes one', async () => {
    const { code, stderr } = await asAda('tunneld', 'install', '--user');
    assert.equal(code, 78);
    assert.ok(stderr.includes(`\`tunneld --config ${config} init `), stderr);
    assert.ok(!existsSync(box.path(unit)));
  });

  await t.test('copies a configuration, starts, and says what becomes of it without a login', async () => {
    writeFileSync(box.path(`${HOME}/key`), readFileSync(sshd.clientKey), { mode: 0o600 });
    writeFileSync(box.path(`${HOME}/known`), sshd.knownHostsLine());
    writeFileSync(
      box.path(`${HOME}/mine.yaml`),
      `network: { ping: [127.0.0.1] }
tunnels:
  mine:
    host: 127.0.0.1
    port: ${sshd.port}
    user: ${sshd.user}
    identityFile: ~/key
    userKnownHostsFile: ~/known
    remoteForward: ${port}:127.0.0.1:${echo.port}
`,
    );
    await box.must('chown', '-R', 'ada:', HOME);
    const { code, stdout, stderr } = await asAda('tunneld', '--config', `${HOME}/mine.yaml`, 'install', '--user');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^mine +up /m);
    assert.match(stderr, /lingering is off: .*: sudo loginctl enable-linger ada$/m);
    assert.equal(await visit(port, 'mine'), 'mine');
    assert.equal((await asAda('systemctl', '--user', 'is-enabled', 'tunnel')).stdout, 'enabled\n');
    assert.equal((await asAda('stat', '-c', '%a', config, unit)).stdout, '600\n644\n');
    const verified = await asAda(
      'env',
      `SYSTEMD_UNIT_PATH=${HOME}/.config/systemd/user:${UNITS}`,
      'systemd-analyze',
      '--user',
      'verify',
      unit,
    );
    assert.deepEqual(verified, { code: 0, stdout: '', stderr: '' });
  });

  await t.test('does nothing when it is run again', async () => {
    const { code, stderr } = await asAda('tunneld', 'install', '--user');
    assert.equal(code, 0);
    assert.match(stderr, /nothing to do/);
  });

  await t.test(
    'goes on without its terminal, which came through the tunnel: back to the old unit, or with the new one',
    async () => {
      const present = readFileSync(box.path(unit), 'utf8');
      const old = withChecksum(`${present.slice(present.indexOf('\n') + 1)}\n[Service]\nEnvironment=OLD=yes\n`, 'Old.');
      writeFileSync(box.path(unit), old);
      const user = ['systemctl', '--user'];
      for (const command of ['daemon-reload', 'restart tunnel']) await asAda(...user, ...command.split(' '));
      const refuse = `${HOME}/.config/systemd/user/tunnel.service.d/refuse.conf`;
      await asAda('mkdir', '-p', dirname(refuse));
      writeFileSync(box.path(refuse), `[Service]\nExecStartPre=/bin/sh -c '[ "$OLD" = yes ]'\n`);
      mkdirSync(box.path('/tmp/fake'));
      const systemctl = `case "$2" in restart) kill -HUP $(cat ${HOME}/caller) $$ ;; esac; exec /usr/bin/systemctl "$@"`;
      writeFileSync(box.path('/tmp/fake/systemctl'), `#!/bin/sh\n${systemctl}\n`, { mode: 0o755 });
      const path = 'PATH=/tmp/fake:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
      const install = () => asAda('env', path, 'sh', '-c', `echo $$ >${HOME}/caller; exec tunneld install --user`);
      const failed = await install();
      assert.equal(failed.code, 1, failed.stderr);
      assert.match(failed.stderr, /all changes were reverted, and the previous service runs again/);
      assert.equal(readFileSync(box.path(unit), 'utf8'), old);
      await until(async () => (await visit(port, 'old')) === 'old', { what: 'the tunnel of the old unit' });
      rmSync(box.path(refuse));
      const made = await install();
      assert.equal(made.code, 0, made.stderr);
      assert.equal(readFileSync(box.path(unit), 'utf8'), present);
      await until(async () => (await visit(port, 'new')) === 'new', { what: 'the tunnel of the new unit' });
    },
  );

  await t.test('leaves another configuration, and a unit that a person wrote, as they are', async () => {
    const other = await asAda('tunneld', '--config', '/etc/hostname', 'install', '--user');
    assert.match(other.stderr, /config\.yaml exists and differs from \/etc\/hostname/);
    const written = readFileSync(box.path(unit), 'utf8');
    writeFileSync(box.path(unit), '[Service]\nExecStart=/bin/sleep 1\n');
    assert.match((await asAda('tunneld', 'install', '--user')).stderr, /was written or edited by hand/);
    assert.equal(readFileSync(box.path(unit), 'utf8'), '[Service]\nExecStart=/bin/sleep 1\n');
    writeFileSync(box.path(unit), written);
  });

  await t.test('takes the service when it is uninstalled, and the rest with --purge', async () => {
    const { code, stderr } = await asAda('tunneld', 'uninstall', '--user');
    assert.equal(code, 0, stderr);
    assert.ok(!existsSync(box.path(unit)));
    assert.ok(existsSync(box.path(config)));
    await assert.rejects(visit(port, 'anybody?'));
    assert.equal((await asAda('tunneld', 'uninstall', '--user', '--purge', '--yes')).code, 0);
    assert.ok(!existsSync(box.path(config)));
    assert.ok(existsSync(box.path(`${HOME}/key`)));
  });

  await t.test('says what to do when there is no service manager, and to root', async () => {
    const su = await box.run(
      'runuser',
      '-u',
      'ada',
      '--',
      'env',
      '-u',
      'XDG_RUNTIME_DIR',
      'tunneld',
      'install',
      '--user',
    );
    assert.equal(su.code, 1);
    assert.match(su.stderr, /log in by ssh or at the console/);
    const root = await box.run('tunneld', 'install', '--user');
    assert.equal(root.code, 1);
    assert.match(root.stderr, /run this as that user, without sudo/);
    await box.must('systemctl', 'stop', 'login');
    const gone = await asAda('tunneld', 'install', '--user');
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /your service manager .* does not answer/);
  });
});
