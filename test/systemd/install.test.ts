import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { withChecksum } from '../../src/install/systemd/checksum.ts';
import { until } from '../support/until.ts';
import { visit } from '../support/visit.ts';
import { bootWithServer } from './installed-service.ts';

test('makes a service from nothing, and takes it away again', async (t) => {
  const world = await bootWithServer(t);
  if (world === null) return;
  const { box, sshd, echo, service, port } = world;
  const ls = async (path: string) => (await box.must('stat', '-c', '%U:%G %a', path)).trim();

  await t.test('says what makes a configuration when there is none, and changes nothing', async () => {
    const { code, stderr } = await box.run('tunneld', 'install');
    assert.equal(code, 78);
    assert.match(stderr, /\/etc\/tunneld\/config\.yaml does not exist: create .*`sudo tunneld init /);
    assert.notEqual((await box.run('id', 'tunneld')).code, 0);
    assert.ok(!existsSync(box.path('/etc/tunneld')));
  });

  await t.test('makes a configuration when init runs', async () => {
    const fingerprint = (
      await box.must('sh', '-c', `ssh-keyscan -p ${sshd.port} 127.0.0.1 2>/dev/null | ssh-keygen -lf -`)
    ).split(' ')[1]!;
    const server = `limited@127.0.0.1:${sshd.port}`;
    const forward = `${port}:127.0.0.1:${echo.port}`;
    await box.must(
      'tunneld',
      'init',
      server,
      '-R',
      forward,
      '--name',
      'backup',
      '--no-wait',
      '--host-key-fingerprint',
      fingerprint,
    );
    appendFileSync(sshd.authorizedKeysFile, readFileSync(box.path('/etc/tunneld/backup.key.pub')));
    // This server knows nobody else, whom init would not log in as.
    await box.must('sed', '-i', `s/limited/${sshd.user}/`, '/etc/tunneld/config.yaml');
  });

  await t.test('shows all and does nothing when it is a dry run', async () => {
    const { code, stdout, stderr } = await box.run('tunneld', 'install', '--dry-run');
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      stdout
        .split('\n')
        .filter((line) => /^\S/.test(line))
        .map((line) => line.replace(/ {3}[\d(].*$/, '')),
      [
        'add    user tunneld',
        'change /etc/tunneld/',
        'change /var/lib/tunneld/',
        'change /etc/tunneld/config.yaml',
        'change /var/lib/tunneld/known_hosts',
        'write  /etc/systemd/system/tunnel.service',
        'run    systemctl daemon-reload',
        'run    systemctl enable tunnel.service',
        'run    systemctl start tunnel.service',
      ],
    );
    assert.match(
      stdout,
      /^ {4}\+ExecStart=\/usr\/local\/bin\/node --single-threaded-gc --v8-pool-size=1 --inspect-port=240\.0\.0\.1:9229 \/usr\/local\/lib\/node_modules\/tunneld\/dist\/cli\.js run$/m,
    );
    assert.ok(!existsSync(box.path('/etc/systemd/system/tunnel.service')));
    assert.notEqual((await box.run('id', 'tunneld')).code, 0);
    assert.equal(await ls('/etc/tunneld/config.yaml'), 'root:root 600');
  });

  await t.test('changes nothing when a daemon runs that was started otherwise', async () => {
    await box.must('systemd-run', '--unit=otherwise', 'tunneld', 'run');
    await service.untilTunnel('backup', ({ phase }) => phase === 'up');
    const { code, stderr } = await box.run('tunneld', 'install');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /another tunneld, .* runs here \(process \d+\) and answers at \/run\/tunneld\/control\.sock: end it/,
    );
    assert.notEqual((await box.run('id', 'tunneld')).code, 0);
    await service.untilTunnel('backup', ({ phase }) => phase === 'up');
    await box.must('systemctl', 'stop', 'otherwise');
    // What it has learnt is root's, and is to be the service's.
    assert.equal(await ls('/var/lib/tunneld/last-good.yaml'), 'root:root 600');
  });

  await t.test("brings the tunnel up by one command, with a key that is root's", async () => {
    const { code, stdout, stderr } = await box.run('tunneld', 'install');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^backup +up /m);
    assert.match(stderr, /tunnel\.service is installed, enabled and active/);
    assert.equal(await visit(port, 'hello'), 'hello');
    assert.equal(await ls('/etc/tunneld'), 'root:tunneld 750');
    assert.equal(await ls('/etc/tunneld/config.yaml'), 'root:tunneld 640');
    assert.equal(await ls('/etc/tunneld/backup.key'), 'root:root 600');
    assert.equal(await ls('/var/lib/tunneld'), 'tunneld:tunneld 700');
    assert.equal(await ls('/var/lib/tunneld/known_hosts'), 'tunneld:tunneld 600');
    assert.equal(await ls('/var/lib/tunneld/last-good.yaml'), 'tunneld:tunneld 600');
    assert.equal(await ls('/run/tunneld'), 'tunneld:tunneld 750');
    assert.doesNotMatch((await service.journal()).map(({ message }) => message).join('\n'), /source ports/);
    assert.match(await box.must('getent', 'passwd', 'tunneld'), /:\/var\/lib\/tunneld:\/usr\/sbin\/nologin$/m);
  });

  await t.test('answers status to members of the group, and to no other user', async () => {
    await box.must('useradd', '--groups', 'tunneld', 'member');
    await box.must('useradd', 'stranger');
    assert.match(await box.must('runuser', '-u', 'member', '--', 'tunneld', 'status'), /^backup +up /m);
    const stranger = await box.run('runuser', '-u', 'stranger', '--', 'tunneld', 'status');
    assert.equal(stranger.code, 3);
    assert.match(stranger.stderr, /permission denied/);
    // Nor does doctor take the member's own home for the service's.
    const { stdout } = await box.run('runuser', '-u', 'member', '--', 'tunneld', 'doctor');
    assert.match(stdout, /^skip state directory +\/var\/lib\/tunneld belongs to another user/m);
    const key = await box.run('runuser', '-u', 'member', '--', 'cat', '/etc/tunneld/backup.key');
    assert.match(key.stderr, /Permission denied/);
  });

  await t.test('changes and restarts nothing when it is run again', async () => {
    const pid = await service.property('MainPID');
    const { mtimeMs, ino } = statSync(box.path('/etc/systemd/system/tunnel.service'));
    for (const more of [[], ['--dry-run'], ['--no-start']]) {
      const { code, stdout, stderr } = await box.run('tunneld', 'install', ...more);
      assert.deepEqual([code, stdout], [0, '']);
      assert.match(stderr, /nothing to do: tunnel\.service is installed, enabled and active/);
    }
    assert.equal(await service.property('MainPID'), pid);
    // What ends at once is not started again at once.
    assert.equal(await service.property('RestartUSec'), '2s');
    const after = statSync(box.path('/etc/systemd/system/tunnel.service'));
    assert.deepEqual([after.mtimeMs, after.ino], [mtimeMs, ino]);
  });

  await t.test(
    'goes back to the unit that worked when a new one does not start, even when the caller came through the tunnel',
    async () => {
      const unit = '/etc/systemd/system/tunnel.service';
      const present = readFileSync(box.path(unit), 'utf8');
      const old = withChecksum(`${present.slice(present.indexOf('\n') + 1)}\n[Service]\nEnvironment=OLD=yes\n`, 'Old.');
      writeFileSync(box.path(unit), old);
      await box.must('systemctl', 'daemon-reload');
      await box.must('systemctl', 'restart', 'tunnel');
      const refuse = box.path('/etc/systemd/system/service.d/refuse.conf');
      mkdirSync(dirname(refuse), { recursive: true });
      const check = '[ "$OLD" = yes ] || [ %n != tunnel.service ]';
      writeFileSync(refuse, `[Service]\nExecStartPre=+/bin/sh -c '${check}'\n`);
      const systemctl = 'case "$1" in restart) kill -KILL $(cat /tmp/caller) ;; esac; exec /usr/bin/systemctl "$@"';
      mkdirSync(box.path('/tmp/fake'), { recursive: true });
      writeFileSync(box.path('/tmp/fake/systemctl'), `#!/bin/sh\n${systemctl}\n`, { mode: 0o755 });
      const held = await box.run('flock', '/run/tunneld-takeover.lock', 'tunneld', 'install', '--yes');
      assert.equal(held.code, 1, held.stderr);
      assert.match(
        held.stderr,
        /another tunneld install or uninstall is running \(lock \/run\/tunneld-takeover\.lock\)/,
      );
      assert.equal(readFileSync(box.path(unit), 'utf8'), old);
      const path = 'PATH=/tmp/fake:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
      const called = await box.run('env', path, 'sh', '-c', 'echo $$ >/tmp/caller; exec tunneld install --yes');
      assert.notEqual(called.code, 0);
      await until(() => readFileSync(box.path(unit), 'utf8') === old, { what: 'the unit of before' });
      await service.untilTunnel('backup', ({ phase }) => phase === 'up');
      const journal = await box.must('journalctl', '--identifier=tunneld-takeover', '--output=cat');
      assert.match(journal, /all changes were reverted, and the previous service runs again/);
      rmSync(refuse);
      await box.must('systemctl', 'daemon-reload');
      const again = await box.run('tunneld', 'install', '--yes');
      assert.equal(again.code, 0, again.stderr);
      assert.equal(readFileSync(box.path(unit), 'utf8'), present);
      await service.untilTunnel('backup', ({ phase }) => phase === 'up');
    },
  );

  await t.test('tells of a file before the service would not start again with it', async () => {
    const file = '/etc/tunneld/config.yaml.12:30';
    writeFileSync(box.path(file), 'tunnels: {}\n');
    for (const [program, ...args] of [
      ['tunneld', 'check'],
      ['tunneld', 'doctor'],
      ['tunneld', 'install'],
      ['systemctl', 'reload', 'tunnel'],
    ] as const) {
      const { code, stdout, stderr } = await box.run(program, ...args);
      assert.notEqual(code, 0, args[0]);
      if (program === 'tunneld') assert.match(`${stdout}${stderr}`, /config\.yaml\.12:30" has a colon/);
    }
    // And it is true.
    const { code } = await box.run('systemctl', 'restart', 'tunnel');
    assert.notEqual(code, 0);
    await box.must('rm', file);
    await service.untilTunnel('backup', ({ phase }) => phase === 'up');
  });

  await t.test('brings a key that came later to the running service by a reload, and by a trial', async () => {
    const yaml = readFileSync(box.path('/etc/tunneld/config.yaml'), 'utf8');
    const pid = await service.property('MainPID');
    const newKey = async (name: string) => {
      await box.must('cp', '-p', '/etc/tunneld/backup.key', `/etc/tunneld/${name}`);
      await box.must('touch', `/etc/tunneld/${name}`);
    };
    let since = (await service.untilTunnel('backup', ({ phase }) => phase === 'up')).since;
    const comesUpAnew = async () => {
      const tunnel = await service.untilTunnel('backup', (one) => one.phase === 'up' && one.since !== since);
      since = tunnel.since;
    };
    await newKey('new.key');
    writeFileSync(
      box.path('/etc/tunneld/config.yaml'),
      yaml.replace('backup.key', 'new.key').replace('backup:', 'web:'),
    );
    const { stdout } = await box.run('tunneld', 'doctor');
    assert.match(stdout, /the daemon does not have web yet\n.*sudo tunneld reload .*new key/);

    // By those who may not read it, it is only named.
    writeFileSync(box.path('/etc/tunneld/config.yaml'), yaml.replace('backup.key', 'new.key'));
    await box.must('runuser', '-u', 'tunneld', '--', 'tunneld', 'reload');
    const { failure } = await service.untilTunnel('backup', (tunnel) => tunnel.failure !== undefined);
    assert.equal(failure?.code, 'key-unreadable');
    assert.match(
      failure?.message ?? '',
      /identityFile \/etc\/tunneld\/new\.key belongs to root.*`sudo tunneld reload`/,
    );

    await box.must('tunneld', 'reload');
    await comesUpAnew();
    assert.equal(await box.must('stat', '-c', '%U:%G %a', '/run/tunneld-keys'), 'root:tunneld 710\n');
    assert.equal(await box.must('stat', '-c', '%U %a', '/run/tunneld-keys/etc_new.key'), 'tunneld 400\n');

    await newKey('newer.key');
    writeFileSync(box.path('/etc/tunneld/config.yaml'), yaml.replace('backup.key', 'newer.key'));
    await box.must('systemctl', 'reload', 'tunnel');
    await comesUpAnew();

    await newKey('newest.key');
    writeFileSync(box.path('/root/trial.yaml'), yaml.replace('backup.key', 'newest.key'));
    await box.must('tunneld', 'apply', '/root/trial.yaml');
    await comesUpAnew();
    assert.equal(await service.property('MainPID'), pid);

    writeFileSync(box.path('/etc/tunneld/config.yaml'), yaml);
    await box.must('rm', '/etc/tunneld/new.key', '/etc/tunneld/newer.key', '/etc/tunneld/newest.key');
    await box.must('systemctl', 'reload', 'tunnel');
    assert.equal(await box.must('ls', '/run/tunneld-keys'), 'etc_backup.key\n');
    await box.must('systemctl', 'restart', 'tunnel');
    assert.notEqual((await box.run('ls', '/run/tunneld-keys')).code, 0);
  });

  await t.test('starts with the system, without a network, and has the tunnel up when the network comes', async () => {
    // The server of a network of its own, which the service shares and which at first has no address but the loopback's.
    await box.must('ip', 'netns', 'add', 'away');
    await box.must('ip', '-n', 'away', 'link', 'set', 'lo', 'up');
    const config = readFileSync(`${sshd.dir}/sshd_config`, 'utf8')
      .replaceAll(sshd.dir, '/tmp/sshd')
      .replace(/^ListenAddress .*/gm, '');
    await box.must('mkdir', '/tmp/sshd', '/run/sshd');
    for (const file of ['host_ed25519', 'authorized_keys'])
      writeFileSync(box.path(`/tmp/sshd/${file}`), readFileSync(`${sshd.dir}/${file}`), { mode: 0o600 });
    writeFileSync(box.path('/tmp/sshd/sshd_config'), config);
    writeFileSync(
      box.path('/etc/systemd/system/server.service'),
      '[Service]\nNetworkNamespacePath=/run/netns/away\nExecStart=/usr/sbin/sshd -D -e -f /tmp/sshd/sshd_config\n',
    );
    await service.dropIn('NetworkNamespacePath=/run/netns/away');
    const yaml = readFileSync(box.path('/etc/tunneld/config.yaml'), 'utf8');
    const away = yaml.replace(/host: .*/, "host: '10.77.0.1'\n    hostKeyAlias: server");
    writeFileSync(box.path('/etc/tunneld/config.yaml'), `${away}network: { ping: [] }\n`);
    appendFileSync(box.path('/var/lib/tunneld/known_hosts'), `server ${sshd.hostKeys[0]!.publicKey}\n`);
    await box.must('systemctl', 'stop', 'tunnel');
    await box.must('systemctl', 'start', 'server', 'multi-user.target');
    assert.equal(await service.property('ActiveState'), 'active');
    await service.untilTunnel('backup', ({ failure }) => failure?.code === 'unreachable');

    await box.must('ip', '-n', 'away', 'address', 'add', '10.77.0.1/32', 'dev', 'lo');
    await service.untilTunnel('backup', ({ phase }) => phase === 'up');
    assert.equal(await service.property('NRestarts'), '0');
  });

  await t.test('takes the service and leaves what is yours when it is uninstalled', async () => {
    const before = await box.run('tunneld', 'uninstall', '--dry-run');
    assert.match(
      before.stdout,
      /^run {4}systemctl disable --now tunnel\.service .*\nremove \/etc\/systemd\/system\/tunnel\.service$/m,
    );
    assert.equal(await service.property('ActiveState'), 'active');
    const through = await box.run('env', 'SSH_CONNECTION=127.0.0.1 50000 127.0.0.1 22', 'tunneld', 'uninstall');
    assert.equal(through.code, 2);
    assert.match(through.stderr, /you came from 127\.0\.0\.1, which is this device: through one of its tunnels/);
    assert.equal(await service.property('ActiveState'), 'active');
    const { code, stderr } = await box.run('tunneld', 'uninstall');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /configuration, keys and state are kept: \/etc\/tunneld, \/var\/lib\/tunneld/);
    assert.match(stderr, /your drop-ins are kept: .*test\.conf/);
    assert.equal(await service.property('ActiveState'), 'inactive');
    assert.ok(!existsSync(box.path('/etc/systemd/system/tunnel.service')));
    assert.ok(!existsSync(box.path('/etc/systemd/system/multi-user.target.wants/tunnel.service')));
    assert.equal(await ls('/etc/tunneld/backup.key'), 'root:root 600');
  });

  await t.test('takes the rest with uninstall --purge, and has nothing to do once more', async () => {
    const asked = await box.run('tunneld', 'uninstall', '--purge');
    assert.equal(asked.code, 2);
    assert.ok(existsSync(box.path('/etc/tunneld/config.yaml')));
    const { code, stderr } = await box.run('tunneld', 'uninstall', '--purge', '--yes');
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /10\.77\.0\.1 still lets \S+ in with the key SHA256:\S+: remove its line from .*server-setup \S+ --undo/,
    );
    assert.match(stderr, /remove \/etc\/tunneld\n.*remove \/var\/lib\/tunneld\n.*userdel tunneld/);
    assert.notEqual((await box.run('getent', 'group', 'tunneld')).code, 0);
    assert.ok(!existsSync(box.path('/etc/tunneld')) && !existsSync(box.path('/var/lib/tunneld')));
    assert.notEqual((await box.run('id', 'tunneld')).code, 0);
    assert.match((await box.run('tunneld', 'uninstall', '--purge', '--yes')).stderr, /nothing to do/);
  });
});
