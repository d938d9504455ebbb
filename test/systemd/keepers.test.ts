import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { freePort, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';
import { bootWithServer } from './installed-service.ts';

const HOME = '/srv/pi';
const RUN = '/run/user/4711';
const PASSWORD = 'correct horse battery';
const CRONTAB = '/var/spool/cron/crontabs/pi';

test('takes over what keeps tunnels up, whatever it is, and leaves all as it was where the new ones do not come up', async (t) => {
  const world = await bootWithServer(t);
  if (world === null) return;
  const { box, sshd, echo } = world;
  const write = (path: string, text: string, mode = 0o644) => writeFileSync(box.path(path), text, { mode });
  const sh = (script: string) => box.must('sh', '-c', script);
  const init = (...args: readonly string[]) => box.run('tunneld', 'init', ...args);
  await preparePi(world, write);
  const relay = `-p ${sshd.port} ${sshd.user}@127.0.0.1`;
  const ports = {
    autossh: await freePort(),
    instance: await freePort(),
    user: await freePort(),
    password: await freePort(),
    cron: await freePort(),
    boot: await freePort(),
    hand: await freePort(),
  };
  const forward = (port: number) => `-R ${port}:127.0.0.1:${echo.port}`;
  const reach = async (port: number, words: string) =>
    until(async () => (await visit(port, words)) === words, { what: `port ${port} ${words}` });

  const passwordPort = await startPasswordServer(t, world);
  const units = '/etc/systemd/system';
  const end = '[Install]\nWantedBy=multi-user.target\n';
  write(
    `${units}/phone-home.service`,
    `[Service]\nUser=pi\nEnvironment="AUTOSSH_GATETIME=0"\nExecStart=/usr/bin/autossh -M 0 -N ${forward(ports.autossh)} ${relay}\nRestart=always\nRestartSec=1\n${end}`,
  );
  write(
    `${units}/out@.service`,
    `[Service]\nUser=pi\nEnvironmentFile=/etc/default/out@%i\nExecStart=/bin/sh -c 'while true; do ssh -NT -R $$PORT:127.0.0.1:${echo.port} $$RELAY; sleep 1; done'\n${end}`,
  );
  write('/etc/default/out@relay', `PORT=${ports.instance}\nRELAY="${relay}"\n`);
  write(
    `${units}/legacy.service`,
    `[Service]\nExecStart=/usr/bin/sshpass -p '${PASSWORD}' ssh -N -o UserKnownHostsFile=/etc/legacy_hosts -o PubkeyAuthentication=no ${forward(ports.password)} -p ${passwordPort} legacy@127.0.0.1\n${end}`,
  );
  write(
    `${HOME}/.config/systemd/user/mine.service`,
    `[Service]\nExecStart=/usr/bin/ssh -N -i %h/.ssh/id_ed25519 ${forward(ports.user)} ${relay}\n[Install]\nWantedBy=default.target\n`,
  );
  const line = `@reboot sleep 0 && autossh -M 0 -f -N ${forward(ports.cron)} ${relay}`;
  write(CRONTAB, `# mine\nRELAY=x\n${line}\n0 3 * * * ssh relay backup\n`, 0o600);
  await box.must('chown', 'pi:', CRONTAB);
  write(
    '/etc/rc.local',
    `#!/bin/sh -e\nhostname box\nsu pi -c "ssh -f -N ${forward(ports.boot)} ${relay}"\nexit 0\n`,
    0o755,
  );

  // What cannot be read is named, and stays.
  write(`${units}/odd.service`, `[Service]\nExecStart=/bin/sh -c 'ssh -N -R 1:a:1 $(cat /etc/hostname)'\n${end}`);
  await sh(
    'chown -R pi: /srv/pi && systemctl daemon-reload && systemctl enable odd && systemctl enable --now phone-home out@relay legacy',
  );
  await sh(`${asPi('systemctl --user daemon-reload')} && ${asPi('systemctl --user enable --now mine')}`);
  await sh(`setsid -f ${asPi(`sh -c '${line.replace('@reboot ', '')}'`)} </dev/null >/dev/null 2>&1`);
  await sh(`sh /etc/rc.local; setsid -f ${asPi(`ssh -N ${forward(ports.hand)} ${relay}`)} </dev/null >/dev/null 2>&1`);
  for (const port of Object.values(ports)) await reach(port, 'before');

  await t.test('shows what it would do, without secrets, and leaves all as it was', async () => {
    const { code, stdout, stderr } = await init('--from', 'autossh', '--dry-run');
    assert.equal(code, 10, stderr);
    for (const name of [
      'phone-home.service',
      'out@relay.service',
      'legacy.service',
      'mine.service of pi',
      `${CRONTAB}:3`,
      '/etc/rc.local:3',
    ])
      assert.ok(stderr.includes(`tunneld: ${name}`), `${name}: ${stderr}`);
    assert.match(stderr, /process \d+, which runs: ssh -N/);
    assert.match(stderr, /odd\.service is left as it is: it uses the output of another command/);
    assert.match(stdout, /^then {3}stop and disable phone-home\.service$/m);
    assert.match(
      stdout,
      /legacy.*\.password {3}0600 root:root {3}\(secret: not shown\)|127-0-0-1.*\.password .*secret: not shown/,
    );
    assert.ok(!(stdout + stderr).includes(PASSWORD));
    assert.equal((await box.run('id', 'tunneld')).code, 2 - 1);
    const one = await init('--from', 'nothing-such');
    assert.deepEqual(
      [one.code, /"nothing-such" keeps no ssh tunnel here; what does: /.test(one.stderr)],
      [1, true],
      one.stderr,
    );
  });

  await t.test('names no changes when the service cannot be installed', async () => {
    mkdirSync(box.path('/tmp/old'));
    write(
      '/tmp/old/systemctl',
      '#!/bin/sh\nif [ "$1" = --version ]; then echo "systemd 249 (249)"; else exec /usr/bin/systemctl "$@"; fi\n',
      0o755,
    );
    const path = 'PATH=/tmp/old:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const { code, stdout } = await box.run('env', path, 'tunneld', 'init', '--from', 'autossh', '--yes', '--json');
    const { changed, changes, configuration, error } = JSON.parse(stdout) as Readonly<Record<string, unknown>>;
    assert.deepEqual([code, changed, changes, configuration], [1, false, [], null]);
    assert.match(String(error), /systemd/);
  });

  await t.test('brings all back when the service does not start', async () => {
    mkdirSync(box.path('/etc/systemd/system/service.d'));
    const refuse = '/etc/systemd/system/service.d/refuse.conf';
    write(refuse, "[Service]\nExecStartPost=/bin/sh -c '! test -S /run/tunneld/control.sock'\n");
    const { code, stderr } = await init('--from', 'autossh', '--yes');
    assert.equal(code, 1, stderr);
    assert.match(stderr, /all changes were reverted, and what kept the tunnels before runs again/);
    for (const port of Object.values(ports)) await reach(port, 'again');
    assert.match(await box.must('systemctl', 'is-enabled', 'phone-home', 'out@relay', 'legacy'), /^(?:enabled\n){3}$/);
    assert.ok(readFileSync(box.path(CRONTAB), 'utf8').includes(`\n${line}\n`));
    assert.notEqual((await box.run('test', '-e', '/etc/tunneld')).code, 0);
    write(refuse, '');
    await box.must('systemctl', 'daemon-reload');
  });

  await t.test('has the same tunnels in the service, and the old ones do not start again', async () => {
    const { code, stdout, stderr } = await init('--from', 'autossh', '--yes');
    // One is left, because it cannot be read.
    assert.equal(code, 1, stderr);
    for (const port of Object.values(ports)) await reach(port, 'after');
    assert.ok(!(stdout + stderr).includes(PASSWORD));
    const { tunnels } = JSON.parse((await box.run('tunneld', 'status', '--json')).stdout) as {
      tunnels: { phase: string }[];
    };
    assert.deepEqual(
      tunnels.map(({ phase }) => phase),
      Array(7).fill('up'),
    );
    const states = await box.run('systemctl', 'is-enabled', 'phone-home', 'out@relay', 'legacy', 'tunnel');
    assert.equal(states.stdout, 'disabled\ndisabled\ndisabled\nenabled\n');
    assert.equal(
      (await box.run('systemctl', 'is-active', 'phone-home', 'out@relay', 'legacy')).stdout,
      'inactive\n'.repeat(3),
    );
    assert.equal((await box.run('sh', '-c', asPi('systemctl --user is-enabled mine'))).stdout, 'disabled\n');
    assert.equal((await box.run('pgrep', '-x', 'ssh|autossh')).stdout, '');
    const crontab = readFileSync(box.path(CRONTAB), 'utf8');
    assert.equal(crontab, `# mine\nRELAY=x\n# tunneld has this tunnel now: ${line}\n0 3 * * * ssh relay backup\n`);
    assert.match(readFileSync(box.path('/etc/rc.local'), 'utf8'), /^# tunneld has this tunnel now: su pi/m);
    await box.must('sh', '-n', '/etc/rc.local');
    const secret = (await sh('ls /etc/tunneld/*.password')).trim();
    assert.equal(readFileSync(box.path(secret), 'utf8'), `${PASSWORD}\n`);
    assert.deepEqual([statSync(box.path(secret)).mode & 0o777, statSync(box.path(secret)).uid], [0o600, 0]);
    assert.ok(!readFileSync(box.path('/etc/tunneld/config.yaml'), 'utf8').includes(PASSWORD));
    assert.match(
      (await init('--from', 'phone-home', '--yes')).stderr,
      /phone-home\.service is left as it is: it neither runs/,
    );
  });

  await t.test('adds to a running service by a trial, and takes nothing where the login would fail', async () => {
    const port = await freePort();
    const unit = (options: string) =>
      write(
        `${units}/more.service`,
        `[Service]\nUser=pi\nExecStart=/usr/bin/ssh -N ${options} ${forward(port)} ${relay}\n${end}`,
      );
    // The key of the server is only where the service may not look.
    write(`${HOME}/.ssh/known`, sshd.knownHostsLine('elsewhere', 22));
    unit(`-o HostKeyAlias=elsewhere -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=${HOME}/.ssh/known`);
    await sh('systemctl daemon-reload && systemctl enable --now more');
    await reach(port, 'old');
    const config = readFileSync(box.path('/etc/tunneld/config.yaml'), 'utf8');
    const refused = await init('--from', 'more', '--yes');
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /not as up as the old one was: .*: blocked, host-key-unknown/);
    assert.match(refused.stderr, /all changes were reverted, and what kept the tunnels before runs on/);
    await reach(port, 'again');
    assert.equal(readFileSync(box.path('/etc/tunneld/config.yaml'), 'utf8'), config);
    assert.equal(await visit(ports.cron, 'still'), 'still');

    unit('');
    await sh('systemctl daemon-reload && systemctl restart more');
    await reach(port, 'old');
    const daemon = await box.must('systemctl', 'show', '--value', '-p', 'MainPID', 'tunnel');
    const { code, stderr } = await init('--from', 'more', '--yes');
    assert.equal(code, 0, stderr);
    await reach(port, 'new');
    assert.equal(await box.must('systemctl', 'show', '--value', '-p', 'MainPID', 'tunnel'), daemon);
    assert.equal((await box.run('systemctl', 'is-enabled', 'more')).stdout, 'disabled\n');
    assert.match(readFileSync(box.path('/etc/tunneld/config.yaml'), 'utf8'), new RegExp(`${port}:127\\.0\\.0\\.1`));
  });
});

/** As root in the box: a command of the user pi, who is logged in. */
function asPi(command: string): string {
  return `runuser -u pi -- env HOME=${HOME} XDG_RUNTIME_DIR=${RUN} ${command}`;
}

type World = NonNullable<Awaited<ReturnType<typeof bootWithServer>>>;

/** A user with key, known hosts and a service manager, as a login starts one. */
async function preparePi(
  { box, sshd }: World,
  write: (path: string, text: string, mode?: number) => void,
): Promise<void> {
  await box.must('useradd', '--uid', '4711', '--user-group', '--home-dir', HOME, '--create-home', 'pi');
  await box.must('install', '-d', '-m', '700', '-o', 'pi', '-g', 'pi', `${HOME}/.ssh`, RUN);
  await box.must('mkdir', '-p', `${HOME}/.config/systemd/user`, '/srv/user-units', '/var/spool/cron/crontabs');
  write(`${HOME}/.ssh/id_ed25519`, readFileSync(sshd.clientKey, 'utf8'), 0o600);
  write(`${HOME}/.ssh/known_hosts`, sshd.knownHostsLine());
  write('/srv/user-units/default.target', '[Unit]\nDescription=nothing\n');
  for (const name of ['basic', 'sysinit', 'shutdown'])
    write(`/srv/user-units/${name}.target`, '[Unit]\nDefaultDependencies=no\n');
  write(
    '/etc/systemd/system/user@4711.service',
    `[Service]\nType=notify\nUser=pi\nDelegate=yes\nKillSignal=SIGKILL\nEnvironment=XDG_RUNTIME_DIR=${RUN}\nEnvironment=SYSTEMD_UNIT_PATH=${HOME}/.config/systemd/user:/srv/user-units\nExecStart=/lib/systemd/systemd --user\n`,
  );
  await box.must('chown', '-R', 'pi:', HOME);
  await box.must('systemctl', 'daemon-reload');
  await box.must('systemctl', 'start', 'user@4711');
}

/** A server in the box with a user who has a password; its port. */
async function startPasswordServer(t: TestContext, { box, sshd }: World): Promise<number> {
  const port = await freePort();
  const hash = execFileSync('perl', ['-e', 'print crypt($ARGV[0], "\\$6\\$saltsalt\\$")', PASSWORD], {
    encoding: 'utf8',
  });
  await box.must('useradd', '--no-create-home', '--password', hash, 'legacy');
  const key = '/run/legacy_host_key';
  writeFileSync(box.path(key), readFileSync(sshd.hostKeys[0]!.file), { mode: 0o600 });
  writeFileSync(box.path('/etc/legacy_hosts'), sshd.knownHostsLine('127.0.0.1', port));
  await box.must('mkdir', '-p', '/run/sshd');
  writeFileSync(
    box.path('/etc/systemd/system/password-server.service'),
    `[Service]\nExecStart=/usr/sbin/sshd -D -f /dev/null -p ${port} -h ${key} -o PasswordAuthentication=yes -o UsePAM=no -o ListenAddress=127.0.0.1\n`,
  );
  await box.must('systemctl', 'daemon-reload');
  await box.must('systemctl', 'start', 'password-server');
  t.diagnostic(`a server with passwords at ${port}`);
  return port;
}
