import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { ENVIRONMENT_FILES } from '../install/takeover/environment-files.ts';
import { visit } from '../support/visit.ts';
import { bootWithServer } from './installed-service.ts';

const UNIT = '/etc/systemd/system/tunnel.service';
const TRIAL = '/run/systemd/system.control/tunnel.service';

test('takes a unit over when it runs ssh or autossh', async (t) => {
  const world = await bootWithServer(t);
  if (world === null) return;
  const { box, sshd, echo, service, port } = world;

  const home = '/srv/pi';
  await box.must('useradd', '--uid', '4711', '--home-dir', home, '--create-home', 'pi');
  await box.must('install', '-d', '-m', '700', '-o', 'pi', `${home}/.ssh`);
  writeFileSync(box.path(`${home}/.ssh/id_ed25519`), readFileSync(sshd.clientKey), { mode: 0o600 });
  writeFileSync(
    box.path(`${home}/.ssh/known_hosts`),
    `other.example ${sshd.hostKeys[0]!.publicKey}\n${sshd.knownHostsLine()}`,
  );
  writeFileSync(
    box.path(`${home}/.ssh/config`),
    `Host relay\n  HostName 127.0.0.1\n  Port ${sshd.port}\n  User ${sshd.user}\n`,
  );
  await box.must('chown', '-R', 'pi:', `${home}/.ssh`);

  const start = async (text: string) => {
    writeFileSync(box.path(UNIT), text);
    await box.must('systemctl', 'daemon-reload');
    await box.must('systemctl', 'enable', '--now', 'tunnel');
    await until(async () => (await visit(port, 'before')) === 'before', { what: 'the old tunnel' });
  };
  const forward = `-R ${port}:127.0.0.1:${echo.port}`;
  const ssh = `[Unit]
Description=my tunnel
[Service]
User=4711
# keeps it up
ExecStart=/usr/bin/ssh -N -o ServerAliveInterval=30 \\
  -o ExitOnForwardFailure=yes ${forward} relay
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
`;

  await t.test(
    'says only what it would do when there is no terminal to ask, and follows no link of a user',
    async () => {
      await start(ssh);
      await box.must('ln', '-s', '/etc/shadow', `${home}/.ssh/id_ed25519.pub`);
      const { code, stdout, stderr } = await box.run('tunneld', 'install');
      assert.doesNotMatch(stdout + stderr, /root:[*!$:]|id_ed25519\.pub|relay\.key\.pub/);
      for (const [file, why] of [
        ['known_hosts', /known_hosts is not a regular file/],
        ['config', /this is a pipe/],
      ] as const) {
        await box.must('mv', `${home}/.ssh/${file}`, `${home}/.ssh/${file}.old`);
        await box.must('mkfifo', '-m', '644', `${home}/.ssh/${file}`);
        await box.must('chown', 'pi', `${home}/.ssh/${file}`);
        const held = await box.run('tunneld', 'install', '--dry-run');
        assert.match(held.stderr, why);
        assert.equal(held.code, 1);
        await box.must('mv', `${home}/.ssh/${file}.old`, `${home}/.ssh/${file}`);
      }
      assert.equal(code, 2);
      assert.match(
        stderr,
        /there is no terminal to ask: \S+tunnel\.service runs `ssh -N .* relay` as 4711\. Let tunneld do this instead\?/,
      );
      assert.match(stderr, /confirm it with --yes/);
      assert.match(stdout, /^write {2}\/etc\/tunneld\/relay\.key {3}0600 root:root {3}\(secret: not shown\)$/m);
      assert.match(stdout, /^ {4}\+ {4}serverAliveInterval: 30$/m);
      assert.match(stdout, /^ {4}-ExecStart=\/usr\/bin\/ssh/m);
      assert.doesNotMatch(stdout, /PRIVATE KEY/);
      assert.ok(!existsSync(box.path('/etc/tunneld')));
      assert.equal(await visit(port, 'still'), 'still');
    },
  );

  await t.test('reads files of EnvironmentFile as this systemd reads them', async () => {
    await box.must('mkdir', '/tmp/env');
    writeFileSync(
      box.path('/etc/systemd/system/env@.service'),
      '[Service]\nType=oneshot\nEnvironmentFile=/tmp/env/%i\nExecStart=/bin/sh -c "env -0 >/tmp/env/%i.out"\n',
    );
    const names = ENVIRONMENT_FILES.map((_, index) => String(index));
    for (const [index, [text]] of ENVIRONMENT_FILES.entries()) writeFileSync(box.path(`/tmp/env/${index}`), text);
    await box.must('systemctl', 'daemon-reload');
    await box.must('systemctl', 'start', ...names.map((name) => `env@${name}`));
    for (const [index, [text, found]] of ENVIRONMENT_FILES.entries()) {
      const all = readFileSync(box.path(`/tmp/env/${index}.out`), 'utf8').split('\0');
      const own = all.filter((line) => /^(?:A2?|B|K)=/.test(line)).toSorted();
      assert.deepEqual(
        own,
        Object.entries(found)
          .map(([name, value]) => `${name}=${value}`)
          .toSorted(),
        text,
      );
    }
  });

  await t.test('refuses a unit when drop-ins for the command that runs now are in the way', async () => {
    await service.dropIn('Nice=5');
    const { code, stderr } = await box.run('tunneld', 'install', '--yes');
    assert.deepEqual([code, stderr.includes('tunnel.service.d/test.conf. Move them away')], [1, true], stderr);
    await box.must('rm', '-r', `${UNIT}.d`);
    await box.must('systemctl', 'daemon-reload');
  });

  await t.test('brings back what there was when the new daemon does not get ready', async () => {
    await box.must('mkdir', '-p', '/etc/systemd/system/service.d');
    const drop = box.path('/etc/systemd/system/service.d/refuse.conf');
    writeFileSync(drop, "[Service]\nExecStartPost=/bin/sh -c '! test -S /run/tunneld/control.sock'\n");
    const { code, stderr } = await box.run('tunneld', 'install', '--yes');
    assert.equal(code, 1);
    assert.match(stderr, /systemctl restart tunnel\.service` failed \(exit code 1\)/);
    assert.match(stderr, /all changes were reverted, and the old unit runs again/);
    assert.equal(readFileSync(box.path(UNIT), 'utf8'), ssh);
    assert.ok(!existsSync(box.path(`${UNIT}.before-tunneld`)));
    assert.ok(!existsSync(box.path('/etc/tunneld')) && !existsSync(box.path('/var/lib/tunneld/known_hosts')));
    assert.notEqual((await box.run('id', 'tunneld')).code, 0);
    assert.equal(await service.property('ActiveState'), 'active');
    assert.equal(await service.property('UnitFileState'), 'enabled');
    await until(async () => (await visit(port, 'again')) === 'again', { what: 'the old tunnel' });
    writeFileSync(drop, '');
  });

  await t.test(
    'brings back what there was when the tunnel is not as up as the old one, and the journal says why',
    async () => {
      // What the service cannot see: the key of the server in a file that only its user may read.
      const known = `${home}/.ssh/known_hosts`;
      await start(ssh.replace('-N ', `-N -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=${known} `));
      const { code, stderr } = await box.run('tunneld', 'install', '--yes');
      assert.equal(code, 1);
      assert.match(stderr, /the new service is not as up as the old one was: relay: blocked, host-key-unknown/);
      assert.match(stderr, /all changes were reverted, and the old unit runs again/);
      await until(async () => (await visit(port, 'again')) === 'again', { what: 'the old tunnel' });
      assert.match(readFileSync(box.path(UNIT), 'utf8'), /GlobalKnownHostsFile/);
      assert.ok(!existsSync(box.path('/etc/tunneld')) && !existsSync(box.path(TRIAL)));
      assert.match(
        await box.must('journalctl', '--identifier=tunneld-takeover', '--output=cat'),
        /not as up as the old one/,
      );
      await start(ssh);
    },
  );

  await t.test('undoes a takeover when its process was killed in the middle', async () => {
    const pause = box.path('/etc/systemd/system/service.d/refuse.conf');
    writeFileSync(pause, '[Service]\nExecStartPost=/bin/sh -c "while test -e /run/pause; do sleep 0.1; done"\n');
    writeFileSync(box.path('/run/pause'), '');
    const going = box.run('tunneld', 'install', '--yes');
    await until(async () => (await box.run('tunneld', 'status')).code === 0, {
      what: 'the new service',
    });
    assert.equal(readFileSync(box.path(UNIT), 'utf8'), ssh, 'what a loss of power would bring back');
    assert.equal(await service.property('FragmentPath'), TRIAL);
    await box.must('systemctl', 'kill', '--kill-who=main', '--signal=KILL', 'tunneld-takeover');
    writeFileSync(pause, '');
    rmSync(box.path('/run/pause'));
    await until(async () => (await visit(port, 'again')) === 'again', { what: 'the old tunnel' });
    assert.notEqual((await going).code, 0);
    assert.equal(readFileSync(box.path(UNIT), 'utf8'), ssh);
    assert.equal(await service.property('FragmentPath'), UNIT);
    assert.ok(!existsSync(box.path('/run/tunneld-takeover')) && !existsSync(box.path(TRIAL)));
  });

  await t.test(
    'has the same tunnel from ssh, with copies of what its user had, even when the first try was killed',
    async () => {
      // Dies once, in the middle of it.
      const systemctl =
        'case "$1" in restart) test -e /tmp/died || { touch /tmp/died; kill -KILL $PPID; };; esac; exec /usr/bin/systemctl "$@"';
      await box.must('mkdir', '/tmp/fake');
      writeFileSync(box.path('/tmp/fake/systemctl'), `#!/bin/sh\n${systemctl}\n`, { mode: 0o755 });
      await box.run(
        'env',
        'PATH=/tmp/fake:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'tunneld',
        'install',
        '--yes',
      );
      await until(async () => (await visit(port, 'old')) === 'old', { what: 'the old tunnel' });
      assert.equal(readFileSync(box.path(UNIT), 'utf8'), ssh);
      assert.ok(!existsSync(box.path('/run/tunneld-takeover')) && !existsSync(box.path(TRIAL)));
      // Whoever came through the tunnel is gone when the old one ends, and the takeover goes on.
      const going = box.run('sh', '-c', 'echo $$ >/tmp/caller; exec tunneld install --yes');
      await until(() => existsSync(box.path(TRIAL)), { what: 'the trial' });
      await box.must('sh', '-c', 'kill -KILL $(cat /tmp/caller)');
      assert.notEqual((await going).code, 0);
      await until(() => existsSync(box.path(`${UNIT}.before-tunneld`)), { what: 'the end of the trial' });
      await until(async () => (await visit(port, 'after')) === 'after', { what: 'the new tunnel' });
      await until(() => !existsSync(box.path('/run/tunneld-takeover')), { what: 'the end of the takeover' });
      assert.match(await box.must('tunneld', 'status'), /^relay +up /m);
      assert.equal(readFileSync(box.path('/etc/tunneld/relay.key'), 'utf8'), readFileSync(sshd.clientKey, 'utf8'));
      // Only what is about the server.
      assert.equal(readFileSync(box.path('/var/lib/tunneld/known_hosts'), 'utf8'), sshd.knownHostsLine());
      assert.equal(readFileSync(box.path(`${UNIT}.before-tunneld`), 'utf8'), ssh);
      assert.equal(await service.property('FragmentPath'), UNIT);
      assert.equal(await service.property('UnitFileState'), 'enabled');
      assert.ok(!existsSync(box.path('/run/tunneld-takeover')) && !existsSync(box.path(TRIAL)));
      assert.match((await box.run('tunneld', 'install', '--yes')).stderr, /nothing to do/);
    },
  );

  await t.test('says where the old unit lies, and how it comes back, when it is uninstalled', async () => {
    const { code, stderr } = await box.run('tunneld', 'uninstall', '--purge', '--yes');
    assert.equal(code, 0, stderr);
    const command = /to restore it: (.*)$/m.exec(stderr)?.[1] ?? '';
    await box.must('sh', '-c', command.replaceAll('sudo ', ''));
    await until(async () => (await visit(port, 'old')) === 'old', { what: 'the old tunnel' });
    await box.must('systemctl', 'disable', '--now', 'tunnel');
  });

  await t.test(
    'takes autossh behind a shell over when a terminal confirms; the server puts its listener on loopback',
    async () => {
      const elsewhere = forward.replace('-R ', '-R 127.0.0.2:');
      await start(`[Service]
Environment=AUTOSSH_GATETIME=0
Environment="KEY=${home}/.ssh/id_ed25519"
ExecStart=/bin/sh -c 'AUTOSSH_POLL=60 exec autossh -M 0 -NT -i $KEY -o UserKnownHostsFile=${home}/.ssh/known_hosts ${elsewhere} -p ${sshd.port} ${sshd.user}@127.0.0.1'
[Install]
WantedBy=multi-user.target
`);
      // What is there of another's stays.
      const other = `other.example ${sshd.hostKeys[0]!.publicKey}`;
      await box.must('mkdir', '/etc/tunneld', '/var/lib/tunneld');
      writeFileSync(box.path(`${UNIT}.before-tunneld`), 'older');
      writeFileSync(box.path('/etc/tunneld/127-0-0-1.key'), 'of another', { mode: 0o600 });
      writeFileSync(box.path('/var/lib/tunneld/known_hosts'), other, { mode: 0o600 });
      const { stdout, code } = await box.run('sh', '-c', "(sleep 1; echo y) | script -qec 'tunneld install' /dev/null");
      assert.equal(code, 0, stdout);
      assert.match(stdout, /runs `autossh -M 0 .*` as root\. Let tunneld do this instead\? \[y\/N\]/);
      assert.match(stdout, /AUTOSSH_GATETIME, AUTOSSH_POLL: without effect/);
      assert.equal(await visit(port, 'auto'), 'auto');
      const status = await box.must('tunneld', 'status', '127-0-0-1');
      assert.match(
        status,
        /^127-0-0-1: up for .*\n {2}key exchange .*\n.* up \(verified: unknown: the server listens on loopback only/m,
      );
      assert.equal(readFileSync(box.path('/etc/tunneld/127-0-0-1.key'), 'utf8'), 'of another');
      assert.equal(readFileSync(box.path(`${UNIT}.before-tunneld`), 'utf8'), 'older');
      assert.match(readFileSync(box.path(`${UNIT}.before-tunneld-2`), 'utf8'), /autossh/);
      assert.equal(
        readFileSync(box.path('/var/lib/tunneld/known_hosts'), 'utf8').split('\n', 2).join('\n'),
        `${other}\n${sshd.knownHostsLine().split('\n', 1)[0]}`,
      );
    },
  );
});
