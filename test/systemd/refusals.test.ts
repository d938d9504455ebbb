import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { bootSystemd, type SystemdBox } from '../support/systemd-box.ts';
import type { CommandResult } from '../support/tunneld.ts';
import { freePort } from '../support/until.ts';
import { putProgram, serviceIn } from './installed-service.ts';

const UNIT = '/etc/systemd/system/tunnel.service';
const CLI = '/usr/local/lib/node_modules/tunneld/dist/cli.js';

/** Everything that an installation writes, with owners and modes. */
async function stateOf(box: SystemdBox): Promise<string> {
  const files = await box.run(
    'sh',
    '-c',
    'find /etc/tunneld /var/lib/tunneld /etc/systemd/system -not -name "*.wants" -printf "%p %u:%g %m %s\\n" | sort; getent passwd tunneld; getent group tunneld',
  );
  return files.stdout;
}

test('refuses with its cure what cannot be, and leaves everything as it was', async (t) => {
  const box = await bootSystemd(t);
  if (box === null) return;
  await putProgram(box);
  const service = serviceIn(box);
  mkdirSync(box.path('/etc/tunneld'), { mode: 0o755 });
  const yaml = `network: { ping: [] }\ntunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }\n`;
  service.configure(yaml);

  /** An installation that has to be refused. */
  const refused = async (message: RegExp, exit: number, ...command: readonly string[]): Promise<CommandResult> => {
    const before = await stateOf(box);
    const [program = 'tunneld', ...args] = command.length > 0 ? command : ['tunneld', 'install'];
    const result = await box.run(program, ...args);
    assert.match(result.stderr, message);
    assert.equal(result.code, exit, result.stderr);
    assert.equal(await stateOf(box), before);
    return result;
  };
  /** `sh` with programs of ours before the system's. */
  const fake = (name: string, script: string) => {
    mkdirSync(box.path('/tmp/fake'), { recursive: true });
    writeFileSync(box.path(`/tmp/fake/${name}`), `#!/bin/sh\n${script}\n`);
    chmodSync(box.path(`/tmp/fake/${name}`), 0o755);
    return ['env', 'PATH=/tmp/fake:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'tunneld', 'install'];
  };

  await t.test('refuses to install when the caller is not root', async () => {
    await refused(
      /this needs root: sudo \/usr\/local\/bin\/tunneld install --no-start\n/,
      1,
      'runuser',
      '-u',
      'nobody',
      '--',
      'tunneld',
      'install',
      '--no-start',
    );
  });
  await t.test('refuses to install when there is no systemd', async () => {
    await refused(
      /systemd does not run here/,
      1,
      'unshare',
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs none /run/systemd && tunneld install',
    );
  });
  await t.test('refuses to install when systemd is too old', async () => {
    await refused(
      /systemd 249 is too old: the service needs 251 or later/,
      1,
      ...fake('systemctl', 'echo "systemd 249 (249.11)"'),
    );
  });
  await t.test('gives a later systemd the unit that it can do more with', async () => {
    const [program = '', ...args] = fake(
      'systemctl',
      'case "$1" in --version) echo "systemd 257 (257.5)";; *) exec /usr/bin/systemctl "$@";; esac',
    );
    assert.match(
      await box.must(program, ...args, '--dry-run'),
      /\+OpenFile=\/run\/systemd\/notify:notify\n +\+NotifyAccess=main/,
    );
    await box.must('rm', '-r', '/tmp/fake');
  });
  await t.test('refuses a program when the service could not read it', async () => {
    await box.must('cp', '-r', '/usr/local/lib/node_modules/tunneld/dist', '/root/dist');
    await refused(
      /this tunneld: \/root\/dist\/cli\.js is in \/root, which the service cannot see\n.*npm install -g/,
      1,
      'node',
      '/root/dist/cli.js',
      'install',
    );
    await box.must('mkdir', '-m', '750', '/opt/closed');
    await box.must('cp', '-r', '/root/dist', '/opt/closed/dist');
    await refused(
      /\/opt\/closed is closed to other users \(mode 0750\)/,
      1,
      'node',
      '/opt/closed/dist/cli.js',
      'install',
    );
    await box.must('cp', '/usr/local/bin/node', '/root/node');
    await refused(/cannot use this Node\.js: \/root\/node is in \/root/, 1, '/root/node', CLI, 'install');
  });
  await t.test('refuses a configuration when it is not valid', async () => {
    service.configure('tunnels: 7\n');
    await refused(/^\/etc\/tunneld\/config\.yaml:1:10: /m, 78);
    service.configure(yaml);
  });
  await t.test('refuses a configuration when the service would not see its keys', async () => {
    await box.must('install', '-m', '600', '/dev/null', '/root/id');
    service.configure(yaml.replace('remoteForward', 'identityFile: /root/id, remoteForward'));
    await refused(/\/root\/id: copy it \(sudo install -m 600 \/root\/id \/etc\/tunneld\//, 78);
    service.configure(yaml);
  });
  await t.test('refuses a configuration when it is another than the one to copy', async () => {
    writeFileSync(box.path('/tmp/other.yaml'), `${yaml}# other\n`);
    await refused(
      /config\.yaml exists and differs from \/tmp\/other\.yaml/,
      1,
      'tunneld',
      '--config',
      '/tmp/other.yaml',
      'install',
    );
  });
  await t.test('refuses a user tunneld when it has another home', async () => {
    await box.must('useradd', '--system', '--user-group', '--home-dir', '/srv/else', 'tunneld');
    await refused(/the user tunneld has the home \/srv\/else.*usermod --home \/var\/lib\/tunneld tunneld/, 1);
    await box.must('userdel', 'tunneld');
  });
  await t.test('refuses to write when there is another tunnel.service', async () => {
    writeFileSync(box.path(UNIT), '[Service]\nExecStart=/usr/sbin/openvpn --config x\n');
    await refused(/is another tunnel\.service.*not just ssh or autossh: \/usr\/sbin\/openvpn/, 1);
    await refused(/was edited after tunneld install wrote it/, 1, 'tunneld', 'uninstall');
    await box.must('rm', UNIT);
  });
  await t.test('refuses to write when a link is where a file of root belongs', async () => {
    await box.must('mv', '/etc/tunneld/config.yaml', '/tmp/moved.yaml');
    await box.must('ln', '-s', '/tmp/moved.yaml', '/etc/tunneld/config.yaml');
    await refused(/\/etc\/tunneld\/config\.yaml is a link/, 1);
    await box.must('mv', '/tmp/moved.yaml', '/etc/tunneld/config.yaml');
    await box.must('mkdir', '-p', '/root/.ssh', '/var/lib/tunneld');
    await box.must('touch', '/root/.ssh/known_hosts');
    await box.must('ln', '-s', '/root/.ssh', '/var/lib/tunneld/.ssh');
    await box.must('chown', '-h', 'nobody', '/var/lib/tunneld/.ssh');
    await refused(/\/var\/lib\/tunneld\/\.ssh is a link of another user/, 1);
    await box.must('rm', '-r', '/var/lib/tunneld');
  });
  await t.test('takes back what it did when /etc is read-only', async () => {
    await box.must('mount', '--bind', '/etc', '/etc');
    await box.must('mount', '-o', 'remount,bind,ro', '/etc');
    await refused(/cannot write to \/etc: the file system is mounted read-only/, 1);
    await box.must('umount', '/etc');
  });
  await t.test('takes back what it did when the disk is full', async () => {
    await box.must('mount', '-o', 'remount,size=128k', '/etc/systemd/system');
    await box.run('dd', 'if=/dev/zero', 'of=/etc/systemd/system/fill', 'bs=1k');
    await refused(
      /cannot write \/etc\/systemd\/system\/tunnel\.service: the disk is full.*\n.*all changes were reverted/,
      1,
    );
    await box.must('rm', '/etc/systemd/system/fill');
    await box.must('mount', '-o', 'remount,size=16m', '/etc/systemd/system');
  });
  await t.test('refuses to begin when another one runs', async () => {
    await refused(
      /another tunneld install or uninstall is running/,
      1,
      'flock',
      '/run/tunneld-install.lock',
      'tunneld',
      'install',
    );
  });
  await t.test('takes back what it did when the daemon cannot start', async () => {
    await service.dropIn('ExecStart=', "ExecStart=/bin/sh -c 'echo cannot start; exit 78'");
    const { stderr } = await refused(/systemctl start tunnel\.service` failed \(exit code 1\)/, 78);
    assert.match(stderr, /last lines of its log:\n.*cannot start\n/s);
    await box.must('rm', '-r', '/etc/systemd/system/tunnel.service.d');
    await box.must('systemctl', 'daemon-reload');
  });

  await t.test('serves when it cannot have its socket, and systemd says what is missing', async () => {
    service.configure(`${yaml}control: { socket: /etc/no.sock }\n`);
    const { code, stderr } = await box.run('tunneld', 'install');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /active: .*control socket \/etc\/no\.sock: .*EROFS.*; no command reaches this daemon/);
    assert.equal(await service.property('ActiveState'), 'active');
    service.configure(yaml);
    await box.must('tunneld', 'uninstall');
    await box.must('userdel', 'tunneld');
  });

  await t.test('completes an installation when the one before was killed in the middle', async () => {
    const kill = 'kill -KILL $PPID';
    const killers = {
      useradd: `/usr/sbin/useradd "$@"; ${kill}`,
      systemctl: `case "$1" in daemon-reload) ${kill};; *) exec /usr/bin/systemctl "$@";; esac`,
    };
    for (const [name, script] of Object.entries(killers)) {
      const [program = '', ...args] = fake(name, script);
      await box.run(program, ...args);
      assert.equal(await service.property('ActiveState'), 'inactive', name);
      await box.must('rm', '-r', '/tmp/fake');
      const { code, stderr } = await box.run('tunneld', 'install');
      assert.equal(code, 0, stderr);
      assert.match(stderr, /installed, enabled and active/);
      assert.match((await box.run('tunneld', 'install')).stderr, /nothing to do/);
      if (name === 'useradd') await box.must('tunneld', 'uninstall');
    }
  });
  await t.test('replaces a process of before by the one that the unit means', async () => {
    await box.must('sed', '-i', 's/--single-threaded-gc//g', UNIT);
    await box.must('systemctl', 'daemon-reload');
    await box.must('systemctl', 'restart', 'tunnel');
    const pid = await service.property('MainPID');
    await box.must('rm', UNIT);
    await box.must('tunneld', 'install', '--no-start');
    assert.equal(await service.property('MainPID'), pid);
    await box.must('tunneld', 'install');
    assert.notEqual(await service.property('MainPID'), pid);
  });
  await t.test('leaves a unit alone when it was edited by hand', async () => {
    appendFileSync(box.path(UNIT), '\n# mine\n');
    await refused(/was edited by hand.*systemctl edit tunnel/, 1);
    await refused(/was edited after tunneld install wrote it/, 1, 'tunneld', 'uninstall', '--purge', '--yes');
    assert.match(readFileSync(box.path(UNIT), 'utf8'), /# mine/);
    assert.equal(await service.property('ActiveState'), 'active');
    assert.ok(existsSync(box.path('/etc/tunneld/config.yaml')));
  });
  await t.test('leaves a unit to the package when that brings one', async () => {
    await box.must('systemctl', 'disable', '--now', 'tunnel');
    await box.must('rm', UNIT);
    await box.must('cp', '-r', '/usr/local/lib/node_modules/tunneld/dist', '/usr/lib/tunneld');
    await box.must('ln', '-s', '../lib/tunneld/cli.js', '/usr/bin/tunneld');
    writeFileSync(box.path('/usr/lib/systemd/system/tunnel.service'), '[Service]\nExecStart=/usr/bin/tunneld run\n');
    const plan = await box.must('/usr/bin/tunneld', 'install', '--dry-run');
    assert.doesNotMatch(plan, /\/etc\/systemd/);
    assert.match(plan, /run {4}systemctl enable tunnel\.service/);
  });
  await t.test('refuses to install when the unit is masked', async () => {
    await box.must('systemctl', 'mask', 'tunnel');
    await refused(/tunnel\.service is masked: run `sudo systemctl unmask tunnel`/, 1);
    await box.must('systemctl', 'unmask', 'tunnel');
  });
});
