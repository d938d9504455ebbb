import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';
import { sshdPath } from '../../support/sshd-process.ts';
import { PROGRAM } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';
import { startLaptop, untilListening } from '../server-setup/fixture.ts';

const PASSWORD = 'correct horse battery';

describe('init --via', { concurrency: 2 }, () => {
  test('sets the server up with a password and sudo, and ends with what the laptop pastes', async (t) => {
    const place = await start(t);
    if (place === null) return;
    const { world, dir, terminal } = place;
    const { said, answer, exited } = terminal([
      '--via',
      'owner@server',
      '-R',
      'auto:localhost:2022',
      '--name',
      'backup',
    ]);
    await answer(/Are they the same\? Type yes/, 'yes');
    await answer(/owner@server's password: /, 'incorrect staple');
    await answer(/owner@server's password: /, PASSWORD);
    await answer(/Do this\? y: yes/, 's');
    await answer(/sed 's\/\^\/ {2}\/' "\$work\/wanted"[\s\S]*Do this\? y: yes/, 'y');
    await answer(/\[sudo\] password for owner:/, 'incorrect staple');
    await answer(/Sorry, try again\.[\s\S]*\[sudo\] password for owner:/, PASSWORD);
    assert.equal(await exited, 0, said());
    const text = said();
    assert.match(text, /user tunnel-\S+: is created, without a shell/);
    assert.match(text, /listen on: localhost:20000/);
    assert.match(text, /server: tunnel-\S+ is set up; sshd -T confirms/);
    assert.match(text, /ok +backup: round trip/);
    assert.match(readFileSync(join(dir, 'config.yaml'), 'utf8'), /- '20000:localhost:2022'/);
    // Nothing of the owner's is kept, and nothing that was typed is seen.
    assert.ok(!text.includes(PASSWORD) && !text.includes('staple'));
    for (const name of readdirSync(dir)) assert.ok(!readFileSync(join(dir, name), 'utf8').includes(PASSWORD), name);
    assert.doesNotMatch(world.sshdLog(), /horse/);

    // The third action.
    const paste = text.slice(text.indexOf('# Paste this'), text.indexOf('# On the server itself')).replaceAll('\r', '');
    assert.match(paste, /^Host backup-server\n {2}HostName server\n {2}Port 22\n {2}User owner\n/m);
    assert.match(paste, /^server ssh-ed25519 /m);

    // Run again it changes nothing, and asks for no host key.
    const before = world.snapshot();
    const again = terminal(['--via', 'owner@server', '-R', 'auto:localhost:2022', '--name', 'backup', '--yes']);
    await again.answer(/owner@server's password: /, PASSWORD);
    await again.answer(/\[sudo\] password for owner:/, PASSWORD);
    assert.equal(await again.exited, 0, again.said());
    assert.match(again.said(), /server: nothing was changed/);
    assert.deepEqual(changesOf(before, world.snapshot()), []);
  });

  test('sets the server up for a certificate, and logs in by it, when one is given', async (t) => {
    const place = await start(t);
    if (place === null) return;
    const { world, init, fingerprint } = place;
    allowKey(world);
    world.run(['sh', '-c', 'echo "owner ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/owner']);
    const [ca, key] = [join(world.dir, 'ca'), join(world.dir, 'mine')];
    for (const file of [ca, key]) world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'mine', '-f', file]);
    world.run(['ssh-keygen', '-q', '-s', ca, '-I', 'device 7', '-n', 'limited', '-V', '-1h:+1d', `${key}.pub`]);
    const to = ['limited@server', '--via', 'owner@server', '-R', '8080:localhost:2022', '--name', 'backup', '--yes'];
    const args = [...to, '--certificate', `${key}-cert.pub`, '--host-key-fingerprint', fingerprint];
    const { code, stderr } = init(...args);
    assert.equal(code, 0, stderr);
    assert.match(
      world.read('/etc/ssh/authorized_keys.d/limited')!,
      /^cert-authority,\S+,principals="limited" \S+ \S+ mine key:/,
    );
    assert.match(world.sshdLog(), /Accepted publickey for limited .*ID device 7/);
    const again = init(...args);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /server: nothing was changed/);
  });

  test('asks nothing under --yes when a key and sudo need no password, and the paste reaches the device', async (t) => {
    const place = await start(t);
    if (place === null) return;
    const { world, dir, init, command, fingerprint } = place;
    allowKey(world);
    world.run(['sh', '-c', 'echo "owner ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/owner']);
    const args = ['limited@server', '--via', 'owner@server', '-R', '8080:localhost:2022', '--name', 'backup', '--yes'];
    const { code, stdout, stderr } = init(...args, '--host-key-fingerprint', fingerprint);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /ok +backup: round trip/);
    world.run(['sh', '-c', 'cp "$0"/*.pub /etc/ssh', join(world.dir, 'device')]);
    const daemon = world.spawn(
      ['env', `HOME=${world.dir}/home`, process.execPath, ...PROGRAM, 'run', '--config', join(dir, 'config.yaml')],
      { stdio: 'ignore' },
    );
    t.after(() => daemon.kill('SIGKILL'));
    const laptop = startLaptop(world);
    const device = readFileSync(join(world.dir, 'device/ssh_host_ed25519_key.pub'), 'utf8').split(' ').slice(0, 2);
    // The keys of the device's sshd are elsewhere than those of a real device.
    const paste = stdout.replace(/^backup ssh-.*$/m, `backup ${device.join(' ')}`);
    assert.equal(laptop.paste(paste.replace(/^ {2}User .*$/m, '  User root')).code, 0);
    await until(() => laptop.ssh('backup', 'echo this is the device').stdout === 'this is the device\n', {
      what: () => `the device; ${laptop.ssh('backup', 'true').stderr}`,
    });

    // The same block, written for the owner over the owner's login.
    world.run(['cp', join(world.dir, 'known_hosts'), join(world.dir, 'home/.ssh/known_hosts')]);
    const installed = command('client-setup', 'backup', '--via', 'owner@server', '--install', 'owner@server');
    assert.equal(installed.code, 0, installed.stderr);
    assert.match(
      installed.stderr,
      /owner@server:22 has it in ~\/\.ssh\/config\.d: there, `ssh backup` reaches this device/,
    );
    assert.match(world.read('/var/owner/.ssh/config.d/backup.conf') ?? '', /^Host backup\n[^]*ProxyJump backup-server/);

    // At one of several servers, too, the name that is said is the one of the block.
    const servers = join(dir, 'servers.yaml');
    writeFileSync(
      servers,
      readFileSync(join(dir, 'config.yaml'), 'utf8').replace(
        /^ {4}host: 'server'\n {4}port: 22\n/m,
        '    servers: [server, other]\n',
      ),
    );
    const one = command('client-setup', 'backup@other', '--install', 'owner@server', '--config', servers);
    assert.match(one.stderr, /there, `ssh backup-other` reaches this device/);
    assert.match(world.read('/var/owner/.ssh/config.d/backup-other.conf') ?? '', /^Host backup-other\n/);

    // Converged, nothing is changed; a changed key is tried by the running daemon.
    const config = () => readFileSync(join(dir, 'config.yaml'), 'utf8');
    const again = init(...args, '--dry-run');
    assert.deepEqual([again.code, again.stdout], [0, ''], again.stderr);
    const before = config();
    const wrong = init('--name', 'backup', '--set', 'user=nobody-such', '--yes', '--no-wait');
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /backup is blocked \(the reason is printed above\): what ran before runs again/);
    assert.equal(config(), before);
    world.spawn([sshdPath(), '-D', '-p', '2222', '-o', 'PidFile=none'], { stdio: 'ignore' });
    const moved = init(
      '--name',
      'backup',
      '--set',
      'port=2222',
      '--via',
      'owner@server:2222',
      '--yes',
      '--json',
      '--host-key-fingerprint',
      fingerprint,
    );
    const document = JSON.parse(moved.stdout) as { changed: boolean; clientSetup: string };
    assert.deepEqual([moved.code, document.changed], [0, true], moved.stderr);
    assert.equal(config(), before.replace('port: 22\n', 'port: 2222\n'));
    assert.equal(laptop.ssh('backup', 'echo still').stdout, 'still\n');
  });

  test('leaves nothing behind, and says what to do, when the server, the port or the login is wrong', async (t) => {
    const place = await start(t);
    if (place === null) return;
    const { dir, init, fingerprint, world } = place;
    const closed = await freePort();
    const before = world.snapshot();
    for (const [via, message] of [
      [`owner@server:${closed}`, /Nothing listens on that port: check port/],
      ['owner@no-such-server.invalid', /Check the spelling of host/],
    ] as const) {
      const { code, stderr } = init('--via', via, '-R', '8080:localhost:2022', '--host-key-fingerprint', fingerprint);
      assert.equal(code, 1, stderr);
      assert.match(stderr, message);
      assert.equal(existsSync(dir), false);
    }
    const args = ['-R', '8080:localhost:2022', '--host-key-fingerprint', fingerprint];
    const { code, stderr } = init('--via', 'nobody-here@server', ...args);
    assert.equal(code, 1);
    assert.match(stderr, /your login nobody-here@server:22: key-unreadable: nothing to offer/);
    assert.match(stderr, /name your own login on the server/);
    assert.deepEqual(readdirSync(dir), ['known_hosts']);
    assert.deepEqual(changesOf(before, world.snapshot()), []);
    assert.match(
      init('--via', 'owner@server:0', ...args).stderr,
      /--via "owner@server:0": it has the port 0: a port is a number from 1 to 65535/,
    );
    assert.match(init('limited@server', '-R', 'auto:localhost:22').stderr, /only --via .* can see: name a port/);
  });

  test('changes nothing on the server when the login may not become root, or a person says no', async (t) => {
    // The password is asked for by keyboard-interactive here, as where sshd leaves it to PAM.
    const place = await start(t, true);
    if (place === null) return;
    const { world, dir, terminal } = place;
    world.run(['gpasswd', '-d', 'owner', 'sudo']);
    const before = world.snapshot();
    const args = ['limited@server', '--via', 'owner@server', '-R', '8080:localhost:2022', '--name', 'backup'];
    const refused = terminal(args);
    await refused.answer(/Type yes/, 'yes');
    await refused.answer(/\(owner@server[^)]*\) Password: /, PASSWORD);
    await refused.answer(/Do this\?/, 'y');
    await refused.answer(/\[sudo\] password for owner:/, PASSWORD);
    assert.equal(await refused.exited, 1, refused.said());
    assert.match(refused.said(), /did not become root by sudo[^\n]*: [\s\S]*not in the sudoers file/);
    const declined = terminal(args);
    await declined.answer(/\(owner@server[^)]*\) Password: /, PASSWORD);
    await declined.answer(/Do this\?/, 'n');
    assert.equal(await declined.exited, 1);
    assert.match(declined.said(), /nothing was changed on the server/);
    assert.equal(existsSync(join(dir, 'config.yaml')), false);
    const log = /^\/var\/(?:log|lib\/sudo|lib\/lastlog)/;
    assert.deepEqual(
      changesOf(before, world.snapshot()).filter((path) => !log.test(path)),
      [],
    );
  });

  test('offers another name and the next free port when they are taken', async (t) => {
    const place = await start(t);
    if (place === null) return;
    const { world, dir, init, terminal, fingerprint } = place;
    allowKey(world);
    world.run([
      'sh',
      '-c',
      'echo "owner ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/owner; echo 8080-8090 >/etc/ssh/tunneld_ports',
    ]);
    world.run([
      'sh',
      '-c',
      'mkdir -p /etc/ssh/authorized_keys.d && echo "$0" >/etc/ssh/authorized_keys.d/attic',
      OTHER,
    ]);
    const args = ['owner@server', '--via', 'owner@server', '-R', '8080:localhost:2022', '--name', 'backup'];
    // Without a terminal it is an error that names what is free.
    const taken = init(...args, '--host-key-fingerprint', fingerprint, '--yes');
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, /the user owner of owner@server:22 exists already.*use another user .* such as owner2@/);
    const promised = init('limited@server', ...args.slice(1), '--yes');
    assert.equal(promised.code, 1);
    assert.match(
      promised.stderr,
      /port 8080 of owner@server:22 is promised to the user attic: choose another port, such as 8081/,
    );

    const { answer, said, exited } = terminal(args);
    await answer(/each tunnel has a user of its own[\s\S]*Another name .* \[owner2\]: /, '');
    await answer(/is promised to the user attic[\s\S]*Another port of the server \[8081\]: /, 'eight');
    await answer(/"eight" is no port[\s\S]*Another port of the server \[8081\]: /, '');
    await answer(/Do this\?/, 'ja');
    await answer(/"ja" is none of y, s and n[\s\S]*Do this\?/, 'y');
    assert.equal(await exited, 0, said());
    const config = readFileSync(join(dir, 'config.yaml'), 'utf8');
    assert.match(config, /user: 'owner2'/);
    assert.match(config, /- '8081:localhost:2022'/);
    assert.match(world.read('/etc/ssh/authorized_keys.d/owner2')!, /permitlisten="localhost:8081"/);
  });

  test('asks what is meant when a forward has no target or the user is root, and takes over a user that has the key', async (t) => {
    const place = await start(t);
    if (place === null) return;
    const { world, dir, init, terminal, fingerprint } = place;
    allowKey(world);
    world.run(['sh', '-c', 'echo "owner ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/owner']);
    const { answer, said, exited } = terminal([
      'root@server',
      '--via',
      'owner@server',
      '-R',
      '8080',
      '--name',
      'backup',
      '--no-wait',
    ]);
    await answer(/a SOCKS proxy, through which[\s\S]*Where -R 8080 leads to, .* \[localhost:22\]: /, 'localhost:2022');
    await answer(/its key could do everything there[\s\S]*Another user of the server .* \[tunnel-[^\]]*\]: /, '');
    await answer(/Type yes/, 'yes');
    await answer(/Do this\?/, 'y');
    assert.equal(await exited, 0, said());
    assert.match(readFileSync(join(dir, 'config.yaml'), 'utf8'), /user: 'tunnel-[^]*- '8080:localhost:2022'/);

    // As guides make one: no shell, and the key of the device.
    const guide = `useradd --create-home --home-dir /var/guide --shell /usr/sbin/nologin --password '*' guide && mkdir /var/guide/.ssh && cp "$0.pub" /var/guide/.ssh/authorized_keys`;
    assert.equal(world.run(['sh', '-c', guide, world.key]).code, 0);
    const args = ['guide@server', '--via', 'owner@server', '-R', '8082:localhost:2022', '--name', 'guide', '--yes'];
    assert.match(
      init(...args, '--host-key-fingerprint', fingerprint).stderr,
      /the user guide of owner@server:22 exists already/,
    );
    const taken = init(...args, '-i', world.key);
    assert.equal(taken.code, 0, taken.stderr);
    assert.match(taken.stderr, /ok +guide: round trip/);
    assert.match(world.read('/etc/ssh/authorized_keys.d/guide')!, /permitlisten="localhost:8082"/);
  });

  test('ends with the echo of the terminal restored when Ctrl-C is pressed while a password is typed', async (t) => {
    const place = await start(t);
    if (place === null) return;
    const { world, terminal } = place;
    const { answer, said, exited, type } = terminal(
      ['--via', 'owner@server', '-R', '8080:localhost:2022'],
      (command) => `${command}; code=$?; stty -a | tr ' ;' '\\n\\n' | grep -x -- '-*echo'; exit $code`,
    );
    await answer(/Type yes/, 'yes');
    await until(() => /owner@server's password: /.test(said()), { what: said });
    type('half a pass\u0003');
    assert.equal(await exited, 130, said());
    assert.match(said(), /password: \s*echo\r?\n/);
    assert.doesNotMatch(said(), /half/);
    assert.equal(world.read('/etc/ssh/sshd_config.d/00-tunneld-limited.conf'), null);
  });
});

const OTHER =
  'restrict,port-forwarding,permitlisten="localhost:8080" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIK/X7oTrGab1v2eGMiIi7Komz1hcckjDWErvXg264t5 attic';

interface Place {
  readonly world: ServerWorld;
  /** The folder of the configuration, which init makes. */
  readonly dir: string;
  readonly fingerprint: string;
  /** Without a terminal. */
  init(...args: string[]): ReturnType<ServerWorld['run']>;
  /** Another command, on the same configuration. */
  command(...args: string[]): ReturnType<ServerWorld['run']>;
  terminal(args: readonly string[], wrap?: (command: string) => string): Terminal;
}

interface Terminal {
  said(): string;
  type(text: string): void;
  /** Waits for a question, and answers it. */
  answer(question: RegExp, text: string): Promise<void>;
  readonly exited: Promise<number | null>;
}

/** A server with an administrator who has a password and sudo; beside it a device with an sshd of its own. */
async function start(t: TestContext, keyboardInteractive = false): Promise<Place | null> {
  if (!mayBuildNetworks(t)) return null;
  const world = await startServerWorld(t, {
    config: `Include /etc/ssh/sshd_config.d/*.conf\n${keyboardInteractive ? 'UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no' : 'KbdInteractiveAuthentication no\nPasswordAuthentication yes'}\n`,
    prepare: `printf 'auth required pam_unix.so\\naccount required pam_permit.so\\nsession required pam_permit.so\\n' >/etc/pam.d/sshd
useradd --create-home --home-dir /var/owner --shell /bin/sh owner && usermod -aG sudo owner`,
  });
  const hash = execFileSync('perl', ['-e', 'print crypt($ARGV[0], "\\$6\\$saltsalt\\$")', PASSWORD], {
    encoding: 'utf8',
  });
  world.run(['usermod', '--password', hash, 'owner']);
  startDevice(world);
  await untilListening(world);
  const home = join(world.dir, 'home');
  mkdirSync(join(home, '.ssh'), { recursive: true });
  const dir = join(home, 'tunneld');
  const command = [
    'env',
    `HOME=${home}`,
    'SUDO_USER=',
    'NO_COLOR=1',
    'NODE_EXTRA_CA_CERTS=',
    'SSH_AUTH_SOCK=',
    process.execPath,
    ...PROGRAM,
    'init',
    '--config',
    `${dir}/config.yaml`,
  ];
  const [, fingerprint = ''] = world.run(['ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub']).stdout.split(' ');
  return {
    world,
    dir,
    fingerprint,
    init: (...args) => world.run([...command, ...args]),
    command: (name, ...args) => world.run(command.map((word) => (word === 'init' ? name : word)).concat(args)),
    terminal: (args, wrap = (line) => line) => {
      const line = wrap([...command, ...args].map((word) => `'${word}'`).join(' '));
      const child = world.spawn(['script', '-qec', line, '/dev/null'], {
        stdio: ['pipe', 'pipe', 'inherit'],
        cwd: world.dir,
      });
      t.after(() => child.kill('SIGKILL'));
      let all = '';
      let since = 0;
      child.stdout!.on('data', (text) => (all += String(text)));
      return {
        said: () => all,
        type: (text) => child.stdin!.write(text),
        answer: async (question, text) => {
          await until(() => question.test(all.slice(since)), {
            what: () => `${question}; it said: ${all.slice(since)}`,
          });
          since = all.length;
          child.stdin!.write(`${text}\r`);
        },
        exited: new Promise((resolve) => child.once('close', resolve)),
      };
    },
  };
}

/** The default key of whoever runs init is allowed. */
function allowKey(world: ServerWorld): void {
  const script = `cp "$0" ${world.dir}/home/.ssh/id_ed25519 && chmod 600 ${world.dir}/home/.ssh/id_ed25519
mkdir -p /var/owner/.ssh && cp "$0.pub" /var/owner/.ssh/authorized_keys && chown -R owner: /var/owner/.ssh && chmod 700 /var/owner /var/owner/.ssh`;
  assert.equal(world.run(['sh', '-c', script, world.key]).code, 0);
}

function startDevice(world: ServerWorld): void {
  const folder = join(world.dir, 'device');
  mkdirSync(folder);
  const hostKey = join(folder, 'ssh_host_ed25519_key');
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  const lines = ['Port 2022', `HostKey ${hostKey}`, 'PidFile none', 'StrictModes no', 'PermitRootLogin yes'];
  writeFileSync(join(folder, 'sshd_config'), `${lines.join('\n')}\nAuthorizedKeysFile ${world.key}.pub\n`);
  world.spawn([sshdPath(), '-D', '-f', join(folder, 'sshd_config')], { stdio: 'ignore' });
}

function changesOf(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((path) => before[path] !== after[path]);
}
