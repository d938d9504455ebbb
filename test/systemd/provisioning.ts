import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { bootSystemd } from '../support/systemd-box.ts';
import { freePort, until } from '../support/until.ts';
import { putProgram } from './installed-service.ts';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));

test('sets device and server up by the role of Ansible, and a device by cloud-init', async (t) => {
  const box = await bootSystemd(t);
  if (box === null) return;
  await putProgram(box);
  const write = (path: string, text: string) => writeFileSync(box.path(path), text);
  // The box is the server, too: with an sshd as Debian starts it.
  const port = await freePort();
  const listener = await freePort();
  rmSync(box.path('/etc/ssh'), { recursive: true, force: true });
  mkdirSync(box.path('/etc/ssh/sshd_config.d'), { recursive: true });
  write(
    '/etc/ssh/sshd_config',
    `Include /etc/ssh/sshd_config.d/*.conf\nPort ${port}\nListenAddress 127.0.0.1\nUsePAM no\nSubsystem sftp internal-sftp\n`,
  );
  write(
    '/etc/systemd/system/ssh.service',
    '[Service]\nType=notify\nRuntimeDirectory=sshd\nExecStart=/usr/sbin/sshd -D\nExecReload=/bin/kill -HUP $MAINPID\n',
  );
  await box.must('ssh-keygen', '-A');
  await box.must('systemctl', 'daemon-reload');
  await box.must('systemctl', 'start', 'ssh');
  const fingerprint = (await box.must('ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub')).split(' ')[1]!;

  await t.test('the role converges: it changes all once, nothing twice, and a changed value by itself', async () => {
    mkdirSync(box.path('/srv/play/roles'), { recursive: true });
    cpSync(`${docs}/ansible/tunneld`, box.path('/srv/play/roles/tunneld'), { recursive: true });
    write('/srv/play/hosts', '[devices]\npi07 ansible_connection=local\n[servers]\nrelay ansible_connection=local\n');
    const play = (set: string) =>
      write(
        '/srv/play/site.yml',
        `- hosts: devices\n  gather_facts: false\n  roles: [tunneld]\n  vars:\n    tunneld_server: 127.0.0.1:${port}\n    tunneld_server_host: relay\n    tunneld_fingerprint: ${fingerprint}\n    tunneld_forwards: ['${listener}:localhost:${port}']\n    tunneld_set: ${set}\n`,
      );
    const run = async (...args: readonly string[]) => {
      const { code, stdout, stderr } = await box.run(
        'sh',
        '-c',
        `cd /srv/play && ansible-playbook -i hosts site.yml ${args.join(' ')}`,
      );
      const [, changed] = /changed=(\d+)/.exec(stdout) ?? [];
      assert.equal(code, 0, stdout + stderr);
      return Number(changed);
    };
    play('{}');
    assert.equal(await run('--check'), 1);
    assert.notEqual((await box.run('test', '-e', '/etc/tunneld')).code, 0);
    assert.equal(await run(), 3);
    assert.match(await box.must('tunneld', 'status', 'relay'), /^relay: up /m);
    assert.equal(await run(), 0);
    play('{ serverAliveInterval: 20 }');
    assert.equal(await run('--check'), 1);
    assert.equal(await run(), 1);
    assert.match(readFileSync(box.path('/etc/tunneld/config.yaml'), 'utf8'), /serverAliveInterval: 20/);
    assert.match(await box.must('tunneld', 'status', 'relay'), /^relay: up /m);
  });

  await t.test('a device of cloud-init has its tunnel after the first start', async () => {
    const key = readFileSync(box.path('/etc/tunneld/relay.key'), 'utf8');
    await box.must('tunneld', 'uninstall', '--purge', '--yes');
    const text = readFileSync(`${docs}/cloud-init.yaml`, 'utf8')
      .replace(/-----BEGIN[^]*END OPENSSH PRIVATE KEY-----\n/, key.trimEnd().replaceAll('\n', '\n      ') + '\n')
      .replace('pi07@relay.example.org', `pi07@127.0.0.1:${port}`)
      .replace('8007:localhost:22', `${listener}:localhost:${port}`)
      .replace('SHA256:…', fingerprint);
    write('/root/user-data', text);
    await box.must('cloud-init', 'schema', '--config-file', '/root/user-data');

    const data = parse(text) as {
      write_files: { path: string; content: string; permissions: string }[];
      runcmd: string[][];
    };
    for (const { path, content, permissions } of data.write_files) {
      await box.must('mkdir', '-p', '/etc/tunneld');
      write(path, content);
      await box.must('chmod', permissions, path);
    }
    for (const [program = '', ...args] of data.runcmd) await box.must(program, ...args);
    await until(async () => (await box.run('tunneld', 'status', 'relay')).code === 0, { what: 'the tunnel' });
  });
});
