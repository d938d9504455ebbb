import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { visit } from '../tunnel/visit.ts';
import { bootWithServer } from './installed-service.ts';

const UNIT = '/etc/systemd/system/tunnel.service';

test('a unit that runs ssh or autossh is taken over', async (t) => {
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

  await t.test('without somebody to ask it only says what it would do', async () => {
    await start(ssh);
    const { code, stdout, stderr } = await box.run('tunneld', 'install');
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
  });

  await t.test('drop-ins for the command that runs now are in the way', async () => {
    await service.dropIn('Nice=5');
    const { code, stderr } = await box.run('tunneld', 'install', '--yes');
    assert.deepEqual([code, stderr.includes('tunnel.service.d/test.conf. Move them away')], [1, true], stderr);
    await box.must('rm', '-r', `${UNIT}.d`);
    await box.must('systemctl', 'daemon-reload');
  });

  await t.test('a daemon that does not get ready is replaced by what there was', async () => {
    await box.must('mkdir', '-p', '/etc/systemd/system/service.d');
    const drop = box.path('/etc/systemd/system/service.d/refuse.conf');
    writeFileSync(drop, "[Service]\nExecStartPost=/bin/sh -c '! test -S /run/tunneld/control.sock'\n");
    const { code, stderr } = await box.run('tunneld', 'install', '--yes');
    assert.equal(code, 1);
    assert.match(stderr, /systemctl restart tunnel\.service` ended with 1/);
    assert.match(stderr, /everything is as it was, and what ran before runs again/);
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
    'ssh: the tunnel is the same, with copies of what its user had, even if the first try was killed',
    async () => {
      const systemctl = 'case "$1" in restart) kill -KILL $PPID;; *) exec /usr/bin/systemctl "$@";; esac';
      await box.must('mkdir', '/tmp/fake');
      writeFileSync(box.path('/tmp/fake/systemctl'), `#!/bin/sh\n${systemctl}\n`, { mode: 0o755 });
      await box.run(
        'env',
        'PATH=/tmp/fake:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'tunneld',
        'install',
        '--yes',
      );
      assert.equal(await visit(port, 'old'), 'old');
      const { code, stdout, stderr } = await box.run('tunneld', 'install');
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^relay: up for /m);
      assert.equal(await visit(port, 'after'), 'after');
      assert.equal(readFileSync(box.path('/etc/tunneld/relay.key'), 'utf8'), readFileSync(sshd.clientKey, 'utf8'));
      // Only what is about the server.
      assert.equal(readFileSync(box.path('/var/lib/tunneld/known_hosts'), 'utf8'), sshd.knownHostsLine());
      assert.equal(readFileSync(box.path(`${UNIT}.before-tunneld`), 'utf8'), ssh);
      assert.match((await box.run('tunneld', 'install', '--yes')).stderr, /nothing to do/);
    },
  );

  await t.test('uninstall says where the old unit lies, and how it comes back', async () => {
    const { code, stderr } = await box.run('tunneld', 'uninstall', '--purge');
    assert.equal(code, 0, stderr);
    const command = /to have it back: (.*)$/m.exec(stderr)?.[1] ?? '';
    await box.must('sh', '-c', command.replaceAll('sudo ', ''));
    await until(async () => (await visit(port, 'old')) === 'old', { what: 'the old tunnel' });
    await box.must('systemctl', 'disable', '--now', 'tunnel');
  });

  await t.test(
    'autossh behind a shell, confirmed on a terminal; the server puts its listener on loopback',
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
      const status = await box.must('tunneld', 'status');
      assert.match(status, /^127-0-0-1: up for .*\n.* up \(verified: unknown: the server listens on loopback only/m);
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
