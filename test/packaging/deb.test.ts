import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { startEcho } from '../support/echo.ts';
import { startSshd } from '../support/sshd.ts';
import { bootSystemd } from '../support/systemd-box.ts';
import { freePort, until } from '../support/until.ts';
import { serviceIn } from '../systemd/installed-service.ts';
import { visit } from '../support/visit.ts';
import { buildDeb, installNode, whatIsInstalled, withoutTraces } from './deb-box.ts';

const { version: OLD } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const NEW = '90.1.0';

/** What the program is compiled to, once. */
const CACHE = '/usr/lib/tunneld/code.cache';

test('serves from its installation to its purge when tunneld is a Debian package', async (t) => {
  const box = await bootSystemd(t);
  if (box === null) return;
  const [old, newer] = await Promise.all([buildDeb(t, box, null), buildDeb(t, box, NEW), withoutTraces(box)]);
  await installNode(t, box);
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const service = serviceIn(box);
  const ports = [await freePort(), await freePort()] as const;
  const tunnel = (name: string, port: number) => `  ${name}:
    { host: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, strictHostKeyChecking: accept-new,
      identityFile: /etc/tunneld/key, remoteForward: "${port}:127.0.0.1:${echo.port}" }
`;
  const good = `network: { ping: [127.0.0.1] }\ntunnels:\n${tunnel('main', ports[0])}`;
  const isUp = ({ phase }: { phase: string }) => phase === 'up';
  const active = async () => (await box.run('systemctl', 'is-active', 'tunnel')).stdout.trim();
  const enabled = async () => (await box.run('systemctl', 'is-enabled', 'tunnel')).stdout.trim();
  const install = async (file: string) => {
    const { code, stdout, stderr } = await box.run('dpkg', '--no-triggers', '--install', file);
    assert.equal(code, 0, `${stdout}${stderr}`);
    return stderr;
  };
  const before = await whatIsInstalled(box);

  await t.test('makes everything ready when it is installed first, and says what is missing', async () => {
    assert.match(await install(old), /^tunneld: .*sudo tunneld init .*\ntunneld: .*sudo tunneld install$/m);
    assert.deepEqual([await active(), await enabled()], ['inactive', 'enabled']);
    assert.equal(await box.must('stat', '-c', '%a %U:%G', '/etc/tunneld'), '750 root:tunneld\n');
    assert.equal(await box.must('stat', '-c', '%a %U:%G', '/var/lib/tunneld'), '700 tunneld:tunneld\n');
    assert.match(await box.must('getent', 'passwd', 'tunneld'), /:\/var\/lib\/tunneld:\/usr\/sbin\/nologin\n$/);
    assert.match(await box.must('tunneld', '--version'), new RegExp(`^tunneld ${OLD} `));
    await box.must('test', '-s', CACHE);
    assert.equal(await box.must('dpkg', '--verify', 'tunneld'), '');
    assert.equal(await box.must('systemd-analyze', 'verify', 'tunnel.service'), '');
  });

  await t.test('hands the key to the service when init has made it', async () => {
    const scan = `ssh-keyscan -t ed25519 -p ${sshd.port} 127.0.0.1 2>/dev/null | ssh-keygen -lf -`;
    const key = await box.must('sh', '-c', scan);
    const server = ['init', `limited@127.0.0.1:${sshd.port}`, '-R', `${ports[0]}:localhost:22`];
    await box.must('tunneld', ...server, '--no-wait', '--host-key-fingerprint', key.split(' ')[1]!);
    assert.match(await box.must('runuser', '-u', 'tunneld', '--', 'tunneld', 'check'), /1 tunnel/);
    const { stdout } = await box.run('tunneld', 'doctor');
    assert.match(stdout, /tunnel\.service is inactive and enabled.*\n.*sudo tunneld install/);
    // The key is root's, and systemd hands it over.
    await box.must('systemctl', 'start', 'tunnel');
    await service.untilTunnel('127-0-0-1', ({ failure }) => failure?.code === 'auth-rejected');
    await box.must('systemctl', 'stop', 'tunnel');
    await box.must('sh', '-c', 'rm -r /etc/tunneld/* /var/lib/tunneld/*');
  });

  await t.test('serves when it has a configuration', async () => {
    writeFileSync(box.path('/tmp/key'), readFileSync(sshd.clientKey), { mode: 0o600 });
    await box.must('install', '-m', '600', '-o', 'tunneld', '-g', 'tunneld', '/tmp/key', '/etc/tunneld/key');
    service.configure(good);
    await box.must('systemctl', 'start', 'tunnel');
    await service.untilTunnel('main', isUp);
    assert.equal(await visit(ports[0], 'through the package'), 'through the package');
    await box.must('journalctl', '--sync');
    assert.doesNotMatch(await box.must('journalctl', '--unit=tunnel'), /mode is different/);
  });

  await t.test('takes over when it is upgraded, and the tunnel is back', async () => {
    await install(newer);
    assert.equal((await service.status()).version, NEW);
    await service.untilTunnel('main', isUp);
    assert.equal(await visit(ports[0], 'newer'), 'newer');
  });

  await t.test('stays stopped and disabled when an administrator has stopped and disabled it', async () => {
    await box.must('systemctl', 'disable', '--now', 'tunnel');
    await install(old);
    assert.deepEqual([await active(), await enabled()], ['inactive', 'disabled']);
    await box.must('systemctl', 'enable', '--now', 'tunnel');
    await service.untilTunnel('main', isUp);
  });

  await t.test('goes on with the old version when the new one refuses the configuration', async (t) => {
    const pid = await service.property('MainPID');
    service.configure(`${good}nonsense: yes\n`);
    const told = await install(newer);
    assert.match(told, /^\/etc\/tunneld\/config\.yaml:\d+:1: .*nonsense/m);
    assert.match(told, /^tunneld: this version does not accept the configuration, so the service was not restarted/m);
    assert.equal(await service.property('MainPID'), pid);
    assert.equal((await service.status()).version, OLD);
    assert.match(await box.must('tunneld', '--version'), new RegExp(`^tunneld ${NEW} `));
    assert.equal(await visit(ports[0], 'still here'), 'still here');

    await t.test("installs beside files when they are not the package's", async () => {
      await box.must('mv', '/usr/lib/tunneld', '/usr/lib/elsewhere');
      await sshd.kill();
      await sshd.restart();
      service.configure(`${good}${tunnel('second', ports[1])}`);
      await box.must('systemctl', 'kill', '--kill-whom=main', '--signal=HUP', 'tunnel');
      for (const port of ports)
        await until(async () => (await visit(port, 'healed')) === 'healed', {
          what: `port ${port}`,
        });
      await box.must('mv', '/usr/lib/elsewhere', '/usr/lib/tunneld');
    });

    service.configure(good);
    await box.must('tunneld', 'reload');
    assert.deepEqual(
      (await service.status()).tunnels.map(({ name }) => name),
      ['main'],
    );
    await box.must('systemctl', 'reload', 'tunnel');
    assert.equal(await service.property('MainPID'), pid);
    await box.must('systemctl', 'restart', 'tunnel');
    assert.equal((await service.status()).version, NEW);
  });

  await t.test('keeps what is not the program when it is removed, and goes on when it is installed again', async () => {
    await box.must('dpkg', '--no-triggers', '--remove', 'tunneld');
    assert.equal(await active(), 'inactive');
    assert.notEqual((await box.run('test', '-e', '/usr/lib/tunneld')).code, 0);
    await box.must(
      'test',
      '-f',
      '/etc/tunneld/key',
      '-a',
      '-f',
      '/etc/tunneld/config.yaml',
      '-a',
      '-d',
      '/var/lib/tunneld',
    );
    await box.must('id', 'tunneld');
    await install(newer);
    await service.untilTunnel('main', isUp);
    await box.must('test', '!', '-e', '/var/lib/misc/tunneld.stopped');
  });

  await t.test('runs its scripts again without harm', async () => {
    const script = (name: string) => `/var/lib/dpkg/info/tunneld.${name}`;
    await box.must(script('postinst'), 'configure', NEW);
    await service.untilTunnel('main', isUp);
    await box.must('rm', CACHE);
    await box.must(script('postinst'), 'triggered', '/usr/bin/node');
    await box.must('test', '-s', CACHE);
    await box.must(script('postinst'), 'abort-remove');
    // What somebody stopped starts neither at an upgrade nor after a removal, though it is enabled.
    await box.must('systemctl', 'stop', 'tunnel');
    await box.must(script('postinst'), 'configure', NEW);
    assert.deepEqual([await active(), await enabled()], ['inactive', 'enabled']);
    await box.must(script('prerm'), 'remove');
    await box.must('test', '!', '-e', '/var/lib/misc/tunneld.stopped');
  });

  await t.test('leaves nothing when it is purged', async () => {
    await box.must('dpkg', '--no-triggers', '--purge', 'tunneld');
    assert.deepEqual(await whatIsInstalled(box), before);
  });

  await t.test('starts at once when it is first installed beside a configuration that is accepted', async () => {
    await box.must('mkdir', '/etc/tunneld');
    service.configure(good);
    // It is the service's user who has to be able to read it.
    await box.must('chmod', '600', '/etc/tunneld/config.yaml');
    assert.match(await install(newer), /does not accept the configuration, so the service was not started/);
    assert.equal(await active(), 'inactive');
    await box.must('dpkg', '--no-triggers', '--purge', 'tunneld');

    await box.must('mkdir', '/etc/tunneld');
    service.configure(good);
    assert.doesNotMatch(await install(newer), /^tunneld:/m);
    assert.equal(await active(), 'active');
  });
});
