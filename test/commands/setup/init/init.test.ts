import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { mayBuildNetworks } from '../../../lab/lab-test.ts';
import { startLaptop, untilListening } from '../../../whole/server-setup/fixture.ts';
import { startServerWorld, type ServerWorld } from '../../../support/server-world.ts';
import { fingerprintOf as fingerprintOfKey, makeKey } from '../../../support/login.ts';
import { startSshd, type TestSshd } from '../../../support/sshd.ts';
import { sshdPath } from '../../../support/sshd-process.ts';
import { builtTunneld, tunneld, PROGRAM } from '../../../support/tunneld.ts';
import { connects, freePort, tempDir, until } from '../../../support/until.ts';

test('comes from nothing to ssh through the tunnel when its script was run as root', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  const hostKeys = await startDevice(world);
  await untilListening(world);
  const home = join(world.dir, 'home');
  mkdirSync(home);
  const config = join(home, 'tunneld/config.yaml');
  const fingerprint = fingerprintOf(world.dir, '/etc/ssh/ssh_host_ed25519_key.pub', world);
  const device = (...args: string[]) => [
    'env',
    `HOME=${home}`,
    'SUDO_USER=',
    process.execPath,
    ...PROGRAM,
    ...args,
    '--config',
    config,
  ];

  const init = start(
    t,
    world,
    device(
      'init',
      'limited@server',
      '-R',
      '8080:localhost:2022',
      '--name',
      'backup',
      '--jump',
      '--host-key-fingerprint',
      fingerprint,
    ),
  );
  await until(() => /waiting until the server/.test(init.stderr()), {
    what: () => `the script; it says: ${init.stderr()}`,
  });
  await until(() => /not yet: authentication: .*refused user limited/.test(init.stderr()), {
    what: () => `why it waits: ${init.stderr()}`,
  });
  const script = init.stdout();
  assert.match(script, /^#!\/bin\/sh/);
  const ran = world.run(['sh'], script);
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  assert.equal(await init.exited, 0, init.stderr());
  assert.equal(init.stdout(), script);
  const report = init.stderr();
  assert.match(report, /^ok +backup: round trip/m);
  assert.doesNotMatch(report, /^fail/m);
  assert.equal(statSync(join(home, 'tunneld/backup.key')).mode & 0o777, 0o600);
  assert.equal(statSync(config).mode & 0o777, 0o600);

  // The daemon on what init wrote.
  const daemon = start(t, world, device('run'));
  const status = () => world.run(device('status', '--json')).stdout;
  await until(() => /"phase": "up"/.test(status()) && /"verified": "yes"/.test(status()), {
    what: () => `the tunnel; ${status()} ${daemon.stderr()}`,
  });
  const doctor = world.run(device('doctor'));
  assert.equal(doctor.code, 0, doctor.stdout);
  assert.match(doctor.stdout, /the daemon is logged in/);
  const audit = world.run(device('audit', 'backup', '--yes', '--json'));
  assert.equal(audit.code, 0, audit.stdout + audit.stderr);

  // What client-setup prints, used from elsewhere.
  const text = world.run([
    'env',
    `HOME=${home}`,
    'sh',
    '-c',
    `mount --bind "$0" /etc/ssh && exec "$@"`,
    hostKeys,
    ...device('client-setup', 'backup', '--user', 'root'),
  ]);
  assert.equal(text.code, 0, text.stderr);
  // The folder of the device's keys was put in the place of the server's only for that.
  world.run(['umount', '/etc/ssh']);
  const laptop = startLaptop(world, `${home}/tunneld/backup.key`);
  assert.equal(laptop.paste(text.stdout).code, 0);
  const reached = laptop.ssh('backup', 'echo this is the device');
  assert.equal(reached.stdout, 'this is the device\n', reached.stderr);

  // Repeated, it goes on where it was, and changes nothing.
  const before = readFileSync(config, 'utf8');
  const again = world.run(
    device('init', 'limited@server', '-R', '8080:localhost:2022', '--name', 'backup', '--no-wait'),
  );
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /backup\.key exists and is used/);
  assert.match(again.stderr, /is known: .*known_hosts:\d+/);
  assert.match(again.stderr, /has this tunnel already/);
  assert.equal(readFileSync(config, 'utf8'), before);
});

describe('init', { concurrency: 3 }, () => {
  test('wants the fingerprint when it has no terminal, and takes no other', async (t) => {
    const { sshd, dir, init } = await device(t);
    const silent = await init(`me@127.0.0.1:${sshd.port}`, '-R', '8080:localhost:22');
    assert.equal(silent.code, 2);
    assert.match(silent.stderr, /no terminal to ask on: compare them with .*: --host-key-fingerprint SHA256:\.\.\.$/m);
    const unnamed = await init();
    assert.deepEqual(
      [unnamed.code, /name the server and a forward, as in `tunneld init /.test(unnamed.stderr)],
      [2, true],
    );
    const wrong = await init(
      `me@127.0.0.1:${sshd.port}`,
      '-R',
      '8080:localhost:22',
      '--host-key-fingerprint',
      'SHA256:AAAA',
    );
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /this is not your server/);
    assert.equal(existsSync(join(dir, 'known_hosts')), false);
    assert.equal(existsSync(join(dir, 'config.yaml')), false);
    assert.equal(existsSync(dir), false, 'nothing is left behind');
    const right = await init(
      `me@127.0.0.1:${sshd.port}`,
      '-R',
      '8080:localhost:22',
      '--no-wait',
      '--host-key-fingerprint',
      fingerprintOfSshd(sshd),
    );
    assert.equal(right.code, 0, right.stderr);
    assert.match(right.stderr, /made the key/);
    assert.match(right.stdout, /permitlisten="localhost:8080"/);
    assert.equal((await tunneld(['check', '--config', join(dir, 'config.yaml')])).code, 0);
  });

  test('converges when it is run by a script: says what would change, changes it once, and prints one document', async (t) => {
    const { sshd, dir, init } = await device(t);
    const file = join(dir, 'config.yaml');
    const args = [`me@127.0.0.1:${sshd.port}`, '-R', '8080:localhost:22', '--name', 'backup', '--yes', '--no-wait'];
    const all = [...args, '-i', sshd.clientKey, '--set', 'serverAliveInterval=30'];
    const known = ['--host-key-fingerprint', fingerprintOfSshd(sshd)];
    const json = async (...more: string[]) => {
      const { code, stdout, stderr } = await init(...all, '--json', ...more);
      return {
        code,
        stderr,
        ...(JSON.parse(stdout) as {
          changed: boolean;
          changes: string[];
          serverScript: string | null;
          error: string | null;
        }),
      };
    };
    const dry = await init(...all, '--dry-run');
    assert.deepEqual([dry.code, existsSync(dir)], [10, false], dry.stderr);
    assert.match(
      dry.stdout,
      /^would add the host key of 127\.0\.0\.1 to .*, once it is compared\nwould add the tunnel backup to /,
    );
    // Without --via it is a person who makes it known.
    assert.equal((await init(...all, '--dry-run', '--spare-host-key')).stdout, dry.stdout);
    const unasked = await json();
    assert.deepEqual(
      [unasked.code, unasked.changed, unasked.error?.includes('--host-key-fingerprint')],
      [2, false, true],
    );

    const first = await json(...known);
    assert.deepEqual([first.code, first.changed, first.changes.length], [0, true, 2], first.stderr);
    assert.match(first.serverScript ?? '', /^#!\/bin\/sh/);
    const written = readFileSync(file, 'utf8');
    assert.match(written, /serverAliveInterval: 30/);
    assert.ok(written.includes(`identityFile: '${sshd.clientKey}'`));

    const second = await json();
    assert.deepEqual([second.code, second.changed], [0, false], second.stderr);
    assert.match(second.stderr, /nothing to do: all is so already/);
    assert.equal((await init(...all, '--dry-run')).code, 0);
    assert.equal(readFileSync(file, 'utf8'), written);

    // Of a tunnel that is there the name is enough.
    const set = ['--name', 'backup', '--set', 'serverAliveInterval=45', '--yes', '--no-wait'];
    assert.equal((await init(...set, '--dry-run')).code, 10);
    assert.equal((await init(...set)).code, 0);
    assert.equal(readFileSync(file, 'utf8'), written.replace('serverAliveInterval: 30', 'serverAliveInterval: 45'));
    assert.match((await init(...args, '--set', 'prot=1')).stderr, /prot is not a known key; did you mean port\?/);
    assert.match((await init(...args, '--set', 'port')).stderr, /it must be KEY=VALUE/);
    assert.match((await init(...args, '-i', '/no/such/key')).stderr, /-i \/no\/such\/key: there is no such key/);
  });

  test('names the JSON Schema in the configuration that it writes, which fits it', async (t) => {
    const { sshd, dir } = await device(t);
    const file = join(dir, 'config.yaml');
    const known = ['--no-wait', '--host-key-fingerprint', fingerprintOfSshd(sshd)];
    // The schema lies beside the program.
    const built = ['init', '--config', file, `me@127.0.0.1:${sshd.port}`, '-R', '8080:localhost:22', ...known];
    const { code, stderr } = await builtTunneld(built);
    assert.equal(code, 0, stderr);
    const text = readFileSync(file, 'utf8');
    const [, url = ''] = /^# yaml-language-server: \$schema=(file:\/\/\/\S+)\n/.exec(text) ?? [];
    const validate = new Ajv().compile(JSON.parse(readFileSync(new URL(url), 'utf8')) as object);
    assert.ok(validate(parse(text)), JSON.stringify(validate.errors));
    assert.equal(validate(parse(text.replace('remoteForward', 'remoteForwards'))), false);
  });

  test('adds to an existing configuration only when told yes, and keeps its comments', async (t) => {
    const { sshd, dir, init } = await device(t);
    const file = join(dir, 'config.yaml');
    mkdirSync(dir, { recursive: true });
    const text = '# mine\ntunnels:\n  other: # and this\n    host: x\n    remoteForward: 1:a:1\n';
    writeFileSync(file, text);
    const args = [
      `me@127.0.0.1:${sshd.port}`,
      '-R',
      '8080:localhost:22',
      '--name',
      'new',
      '--no-wait',
      '--host-key-fingerprint',
      fingerprintOfSshd(sshd),
    ];
    const asked = await init(...args);
    assert.equal(asked.code, 2);
    assert.match(asked.stderr, /confirm it with --yes/);
    assert.equal(readFileSync(file, 'utf8'), text);
    const added = await init(...args, '--yes');
    assert.equal(added.code, 0, added.stderr);
    const now = readFileSync(file, 'utf8');
    assert.ok(now.startsWith('# mine\ntunnels:\n  other: # and this\n    host: x\n'));
    const { stdout } = await tunneld(['check', '--config', file]);
    assert.match(stdout, /2 tunnels: other, new/);
    const clash = await init(`me@elsewhere`, '-R', '8080:localhost:22', '--name', 'other', '--no-wait');
    assert.notEqual(clash.code, 0);
  });

  test('leads on from an encrypted key: to its passphrase in a file, an agent, or on a terminal a key of its own', async (t) => {
    const { sshd, dir, init } = await device(t);
    const home = await tempDir(t);
    const key = join(home, 'mine');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-a', '1', '-N', 'the passphrase', '-f', key]);
    const of = (name: string, port: number) =>
      [`me@127.0.0.1:${sshd.port}`, '-R', `${port}:localhost:22`, '--name', name, '--no-wait', '-i', key] as const;
    const args = of('relay', 8080);
    const known = ['--host-key-fingerprint', fingerprintOfSshd(sshd)];
    const secret = (text: string) => {
      writeFileSync(join(home, 'secret'), text, { mode: 0o600 });
      return `passphraseFile=${join(home, 'secret')}`;
    };
    const closed = await init(...args, ...known);
    assert.equal(closed.code, 2, closed.stderr);
    assert.match(
      closed.stderr,
      /mine is encrypted.*\n.*nobody types a passphrase when the tunnel logs in\. Use a key of its own for the tunnel \(without -i\), or a file of mode 0600 with the passphrase \(--set passphraseFile=FILE\), or an agent/,
    );
    const wrong = await init(...args, ...known, '--set', secret('another'));
    assert.deepEqual([wrong.code, /does not decrypt|wrong/.test(wrong.stderr)], [2, true], wrong.stderr);
    const missing = await init(...args, ...known, '--set', 'passphraseFile=/no/such/file');
    assert.deepEqual([missing.code, /passphraseFile \/no\/such\/file does not exist/.test(missing.stderr)], [2, true]);
    assert.equal(existsSync(dir), false, 'nothing is left behind');

    const socket = join(home, 'agent.sock');
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    t.after(() => agent.kill('SIGKILL'));
    await until(() => connects(socket), { what: 'the agent' });
    const askpass = join(home, 'askpass');
    writeFileSync(askpass, "#!/bin/sh\necho 'the passphrase'\n", { mode: 0o700 });
    execFileSync('ssh-add', ['-q', key], {
      env: { ...process.env, SSH_AUTH_SOCK: socket, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' },
    });
    const held = await init(...args, ...known, '--set', `identityAgent=${socket}`, '--dry-run');
    assert.equal(held.code, 10, held.stderr);

    const { said, answer, exited } = dialogue(
      t,
      ['init', ...args, '--config', `${dir}/config.yaml`, '--set', 'verify=off'],
      home,
    );
    await answer(/Your own login on the server/, 'no');
    await answer(/with the passphrase, or own: the tunnel gets a key of its own \[own\]/, '/no/such/file');
    await answer(/\/no\/such\/file does not exist[\s\S]*own: the tunnel gets a key of its own/, '');
    // Without verification, the way of people through the server is asked for with its reason.
    await answer(
      /Will people reach this device with the tunnel's own key, .*Then the server lets it connect to the port \(--jump\)/s,
      'perhaps',
    );
    await answer(/"perhaps" is neither yes nor no[\s\S]*\(--jump\)/, 'y');
    await answer(/Are they the same\? Type yes/, 'yes');
    assert.equal(await exited, 0, said());
    assert.match(readFileSync(join(dir, 'config.yaml'), 'utf8'), /identityFile: '\S+tunneld\/relay\.key'/);
    assert.match(readFileSync(join(home, 'relay-server-setup.sh'), 'utf8'), /permitopen="localhost:8080"/);

    const opened = await init(...of('other', 8081), ...known, '--yes', '--set', secret('the passphrase'));
    assert.equal(opened.code, 0, opened.stderr);
    assert.match(readFileSync(join(dir, 'config.yaml'), 'utf8'), /passphraseFile: \S+secret/);
  });

  test('asks for everything when it has a terminal, and again where an answer cannot be used, saying why', async (t) => {
    const { sshd, dir } = await device(t);
    const cwd = await tempDir(t);
    const { said, answer, exited } = dialogue(t, ['init', '--no-wait', '--config', `${dir}/config.yaml`], cwd);
    await answer(/The server, as/, 'me@127.0.0.1:port');
    await answer(/the server .*port[\s\S]*The server, as/, `root@127.0.0.1:${sshd.port}`);
    await answer(/The port of the server/, '99999');
    await answer(/-R "99999:localhost:22" .*[\s\S]*The port of the server/, 'auto');
    await answer(/Its target, as seen from this device \[localhost:22\]/, 'localhost');
    await answer(/-R "auto:localhost" .*[\s\S]*Its target, as seen from this device/, '');
    await answer(/Your own login on the server, to set it up now/, '-oProxyCommand=x');
    await answer(/must be \[me@\]server\[:port\][\s\S]*Your own login on the server/, 'no');
    await answer(/which only --via .* can see[\s\S]*The port of the server/, 'any');
    await answer(/"any" is no port[\s\S]*The port of the server/, '18080');
    await answer(/Another user of the server for the tunnel/, 'root');
    await answer(/root cannot be used for a tunnel[\s\S]*Another user of the server/, 'me too');
    await answer(/the user 'me too' cannot be written[\s\S]*Another user of the server/, 'me');
    await answer(/Are they the same\? Type yes/, 'y');
    await answer(/"y" is neither yes nor no nor a fingerprint[\s\S]*Are they the same\?/, 'yes');
    assert.equal(await exited, 0, said());
    // The script does not go over the screen.
    const script = join(cwd, '127-0-0-1-server-setup.sh');
    assert.match(said(), /the server needs the script \S+127-0-0-1-server-setup\.sh: read it/);
    assert.match(readFileSync(script, 'utf8'), /^# Sets the server \S+ up for the tunnel 127-0-0-1 of tunneld/m);
    assert.doesNotMatch(said(), /permitlisten/);
    assert.match(readFileSync(script, 'utf8'), /permitlisten="localhost:18080"/);
    assert.equal(statSync(script).mode & 0o777, 0o600);
    assert.match(readFileSync(join(dir, 'config.yaml'), 'utf8'), /- '18080:localhost:22'/);
    assert.match(readFileSync(join(dir, 'known_hosts'), 'utf8'), /^\[127\.0\.0\.1\]:\d+ ssh-ed25519 /);
  });

  test('names the other init when two are at work on one configuration, and goes on after one that was killed', async (t) => {
    const { sshd, dir, init } = await device(t);
    const args = ['-R', '8080:localhost:22', '--no-wait', '--host-key-fingerprint', fingerprintOfSshd(sshd)];
    const first = dialogue(t, ['init', '--config', `${dir}/config.yaml`], await tempDir(t));
    await until(() => /The server, as/.test(first.said()), { what: () => `the question; it said: ${first.said()}` });
    const second = await init(`me@127.0.0.1:${sshd.port}`, ...args);
    assert.equal(second.code, 1, second.stderr);
    const [, pid = ''] = /another command \(tunneld init, process (\d+)\) is changing /.exec(second.stderr) ?? [];
    process.kill(Number(pid), 'SIGKILL');
    await first.exited;
    assert.equal(existsSync(join(dir, '.config.yaml.lock')), true);
    const third = await init(`me@127.0.0.1:${sshd.port}`, ...args);
    assert.equal(third.code, 0, third.stderr);
    assert.equal(existsSync(join(dir, '.config.yaml.lock')), false);
  });

  test('fails with an own message when the configuration, name, forward, server or folder is wrong', async (t) => {
    const { dir, init } = await device(t);
    const closed = await freePort();
    assert.match((await init(`me@127.0.0.1:${closed}`, '-R', '8080:localhost:22')).stderr, /ECONNREFUSED/);
    assert.equal((await init('me@h', '-R', '8080:localhost')).code, 2);
    assert.equal((await init('me@h', '-R', '8080:a:1', '--name', 'No Good')).code, 2);
    assert.equal((await init('me@h h', '-R', '8080:a:1')).code, 2);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'file'), '');
    const unwritable = await tunneld(['init', 'me@h', '-R', '8080:a:1', '--config', join(dir, 'file/config.yaml')]);
    assert.equal(unwritable.code, 78);
    assert.match(unwritable.stderr, /not a directory/);
  });

  test('says what is wrong with --set and --from when these are, and names no line of a file that does not exist', async (t) => {
    const dir = await tempDir(t);
    const init = (...args: string[]) => tunneld(['init', ...args, '--config', join(dir, 'config.yaml')]);
    const set = async (...settings: string[]) =>
      (await init('me@h', '-R', '8080:a:1', ...settings.flatMap((one) => ['--set', one]), '--dry-run')).stderr
        .split('\n')
        .slice(0, -1)
        .filter((line) => !line.includes('tunnel h: me@h:22'));
    assert.deepEqual(await set('prot=3'), ['tunneld: --set prot is not a known key; did you mean port?']);
    assert.deepEqual(await set('port=abc'), ['tunneld: --set port: it must be a whole number, not "abc"']);
    assert.deepEqual(await set('verify=of', 'compression=3'), [
      "tunneld: --set verify must be one of auto, required, off, not 'of'",
      '  --set compression must be yes or no, not 3',
    ]);
    assert.deepEqual(await set('identitiesOnly=no'), []);
    // Nothing is made of what does not fit beside the others.
    const yaml = 'tunnels:\n  other: { host: h, user: me, sshConfig: none, remoteForward: 8080:a:2 }\n';
    writeFileSync(join(dir, 'config.yaml'), yaml);
    assert.deepEqual(await set(), [
      "tunneld: the tunnel's remoteForward[0] listens on localhost:8080, the same listener as line 2 of tunnel other, for the same user of the same server",
    ]);
    // The service sees no home directories.
    makeKey(dir, 'mine', '-t', 'ed25519');
    const system = ['--config', '/etc/tunneld/none.yaml', '-i', join(dir, 'mine')];
    const copied = await tunneld(['init', 'me@h', '-R', '8080:a:1', '--dry-run', ...system]);
    assert.match(copied.stdout, /^would copy the key \S+mine to \/etc\/tunneld\/h\.key$/m);
    const from = await init('--from', 'autossh', '-R', '8080:a:1');
    assert.equal(from.code, 2);
    assert.match(from.stderr, /option '--from <what>' cannot be used with option '-R <forward>'/);
    const server = await init('me@h', '--from', 'autossh');
    assert.equal(server.code, 2);
    assert.match(server.stderr, /leave the server out/);
  });

  test('says which file cannot be written, in its document as well, and leaves no part of it, when the disk is full', async (t) => {
    const { sshd, dir } = await device(t);
    const args = [`me@127.0.0.1:${sshd.port}`, '-R', '8080:localhost:22', '--no-wait', '--json'];
    const trusted = ['--host-key-fingerprint', fingerprintOfSshd(sshd), '--config', join(dir, 'config.yaml')];
    // The largest file that it may write has so many blocks of 512 bytes.
    const withBlocks = async (blocks: number) => {
      const limited = ['-c', `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`, 'sh'];
      const child = spawn('sh', [...limited, process.execPath, ...PROGRAM, 'init', ...args, ...trusted]);
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (text) => (stdout += String(text)));
      child.stderr.on('data', (text) => (stderr += String(text)));
      const [code] = (await once(child, 'close')) as [number | null];
      assert.match(stdout, /^\{/, stderr);
      return { code, stderr, document: JSON.parse(stdout) as { error: string; exitCode: number } };
    };
    mkdirSync(dir, { recursive: true });
    const none = await withBlocks(0);
    assert.deepEqual([none.code, none.document.exitCode], [1, 1]);
    assert.match(none.document.error, /^cannot add a host key to \S+known_hosts: EFBIG/);
    const one = await withBlocks(1);
    assert.deepEqual([one.code, one.document.exitCode], [1, 1]);
    assert.match(one.document.error, /^EFBIG: file too large, write '\S+tunneld\/config\.yaml'$/);
    assert.match(one.stderr, /^tunneld: EFBIG: file too large, write '\S+config\.yaml'$/m);
    assert.deepEqual(readdirSync(dir).toSorted(), ['127-0-0-1.key', '127-0-0-1.key.pub', 'known_hosts']);
  });

  test('asks the server for its host key as the tunnel will reach it, and keeps it under the name that it has there', async (t) => {
    const { sshd, dir, init } = await device(t);
    const route = ['--set', `proxyCommand=${relayTo(sshd.port)}`, '--set', 'hostKeyAlias=relay-key'];
    const asked = ['me@relay.invalid', '-R', '8080:localhost:22', '--no-wait', '--yes', ...route];
    const trusted = ['--host-key-fingerprint', fingerprintOfSshd(sshd)];
    const made = await init(...asked, ...trusted);
    assert.equal(made.code, 0, made.stderr);
    assert.match(readFileSync(join(dir, 'known_hosts'), 'utf8'), /^relay-key ssh-/);
    const again = await init(...asked, '--dry-run');
    assert.equal(again.code, 0, again.stdout + again.stderr);
  });

  test('writes the certificate and its key into the configuration when it is given one', async (t) => {
    const { sshd, dir, init } = await device(t);
    mkdirSync(dir, { recursive: true });
    const [ca, key] = [makeKey(dir, 'ca', '-t', 'ed25519'), makeKey(dir, 'mine', '-t', 'ed25519')];
    const asked = [`me@127.0.0.1:${sshd.port}`, '-R', '8080:localhost:22', '--name', 'relay', '--no-wait', '--yes'];
    const trusted = ['--host-key-fingerprint', fingerprintOfKey(sshd.hostKeys[0]!.file)];
    const wrong = await init(...asked, ...trusted, '--certificate', `${key}.pub`);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--certificate: certificateFile \S+mine\.pub is no OpenSSH certificate/);
    execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'relay', '-n', 'me', `${key}.pub`]);
    const made = await init(...asked, ...trusted, '--certificate', `${key}-cert.pub`);
    assert.equal(made.code, 0, made.stderr);
    const { relay } = (parse(readFileSync(join(dir, 'config.yaml'), 'utf8')) as { tunnels: Record<string, object> })
      .tunnels;
    assert.deepEqual(
      [(relay as Record<string, unknown>)['certificateFile'], (relay as Record<string, unknown>)['identityFile']],
      [`${key}-cert.pub`, key],
    );
  });
});

async function device(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const dir = join(await tempDir(t), 'tunneld');
  const init = (...args: string[]) => tunneld(['init', '--config', join(dir, 'config.yaml'), ...args]);
  return { sshd, dir, init };
}

/** A command that is as good as a connection to a port. */
function relayTo(port: number): string {
  const code = `const s = net.connect(${port}, "127.0.0.1"); process.stdin.pipe(s).pipe(process.stdout)`;
  return `${process.execPath} -e '${code}'`;
}

/** The built program in a terminal, whose questions are answered. */
function dialogue(t: TestContext, args: readonly string[], cwd: string) {
  const command = [process.execPath, ...PROGRAM, ...args].join(' ');
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'], cwd });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (text) => (said += String(text)));
  return {
    /** What it said since the last answer. */
    said: () => said,
    answer: async (question: RegExp, words: string) => {
      await until(() => question.test(said), { what: () => `${question}; it said: ${said}` });
      said = '';
      child.stdin.write(`${words}\n`);
    },
    exited: new Promise((resolve) => child.once('close', resolve)),
  };
}

/** The device's own sshd, in the server's world; the answer is the folder of its host keys. */
async function startDevice(world: ServerWorld): Promise<string> {
  const folder = join(world.dir, 'device');
  mkdirSync(folder);
  const hostKey = join(folder, 'ssh_host_ed25519_key');
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  const lines = [
    'Port 2022',
    `HostKey ${hostKey}`,
    'PidFile none',
    'StrictModes no',
    `AuthorizedKeysFile ${world.key}.pub`,
    'PermitRootLogin yes',
  ];
  writeFileSync(join(folder, 'sshd_config'), `${lines.join('\n')}\n`);
  world.spawn([sshdPath(), '-D', '-f', join(folder, 'sshd_config')], { stdio: 'ignore' });
  return folder;
}

function start(t: TestContext, world: ServerWorld, command: readonly string[]) {
  const child: ChildProcess = world.spawn(command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout!.on('data', (text) => (stdout += String(text)));
  child.stderr!.on('data', (text) => (stderr += String(text)));
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  t.after(() => child.kill('SIGKILL'));
  return { stdout: () => stdout, stderr: () => stderr, exited };
}

function fingerprintOf(_dir: string, path: string, world: ServerWorld): string {
  return world.run(['ssh-keygen', '-lf', path]).stdout.split(' ')[1] ?? '';
}

function fingerprintOfSshd(sshd: TestSshd): string {
  return execFileSync('ssh-keygen', ['-lf', `${sshd.hostKeys[0]!.file}.pub`], { encoding: 'utf8' }).split(' ')[1] ?? '';
}
