import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { changing } from '../../../../src/config/change-lock.ts';
import { renderPlist } from '../../../../src/install/launchd/plist.ts';
import { launchdProgram } from '../../../install/launchd/build-program.ts';
import { fakeMac } from '../../../install/launchd/mac.ts';
import { listen } from '../../../support/listen.ts';
import { startSshd } from '../../../support/sshd.ts';
import { freePort, tempDir, until } from '../../../support/until.ts';

// They wait more than they work.
describe('init --from on a Mac', { concurrency: 4 }, () => {
  test('takes over a job of launchd, and has launchd run it again where the new tunnel does not come up', async (t) => {
    const { mac, run, verbs, port, job, config, before, service, sshd } = await start(t);
    const password = join(dirname(config), '127-0-0-1.password');
    await until(() => answers(port), { what: 'the tunnel of the job' });
    const dry = await run('--dry-run');
    assert.equal(dry.code, 10, dry.stderr);
    assert.match(dry.stdout, /^would stop and disable \S+relay\.plist\nwould write \S+config\.yaml:\n/m);
    assert.deepEqual([readFileSync(config, 'utf8'), mac.get('service')], [before, null]);

    // What is added would be another tunnel there.
    writeFileSync(config, `defaults: { connectTimeout: 33 }\n${before}`);
    const changed = await run('--dry-run');
    assert.equal(changed.code, 78, changed.stderr);
    assert.match(changed.stderr, /the defaults of \S+config\.yaml would change the tunnel to /);
    writeFileSync(config, before);

    // What another command is changing is not read before.
    const second = await changing(config, 'init', () => run());
    assert.equal(second.code, 1, second.stderr);
    assert.match(second.stderr, /^tunneld: another command .* is changing [^\n]*config\.yaml[^\n]*\n$/);

    // Its key does not let it in: nothing is touched.
    const keys = readFileSync(sshd.authorizedKeysFile);
    writeFileSync(sshd.authorizedKeysFile, '');
    mac.set('calls', '');
    const refused = await run();
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /127-0-0-1: auth-rejected: /);
    assert.deepEqual([verbs(), readFileSync(config, 'utf8'), existsSync(password)], [[], before, false]);
    writeFileSync(sshd.authorizedKeysFile, keys);

    // The service does not start; its file of before stays.
    mac.set('fail-bootstrap', '1');
    writeFileSync(service, 'the one of before');
    const failed = await run();
    assert.equal(failed.code, 1, failed.stderr);
    assert.match(failed.stderr, /launchctl bootstrap failed with 1: .*\n.*what kept the tunnels before runs again/s);
    assert.deepEqual([readFileSync(config, 'utf8'), mac.get('service')], [before, null]);
    assert.equal(readFileSync(service, 'utf8'), 'the one of before');
    assert.equal(existsSync(password), false);
    await until(() => answers(port), { what: 'the tunnel of the job again' });

    mac.set('calls', '');
    const taken = await run();
    assert.equal(taken.code, 0, taken.stderr);
    assert.match(
      taken.stderr,
      /127-0-0-1 is up, and verified.*relay\.plist is stopped and disabled; the file is kept/s,
    );
    assert.ok(mac.calls().includes(`bootout ${job}`) && mac.calls().at(-1) === `disable ${job}`, mac.calls().join());
    assert.equal(mac.get('service-org.example.relay'), null);
    assert.match(readFileSync(config, 'utf8'), /^ {2}a: .*\n {2}127-0-0-1:\n/m);
    assert.equal(readFileSync(password, 'utf8'), 'secret\n');
    assert.ok(await answers(port));

    const again = await run();
    assert.equal(again.code, 1, again.stderr);
    assert.match(again.stderr, /relay\.plist is left as it is: launchd does not run it/);
  });

  for (const [at, has] of [
    ['after bootout org.example.relay', 'old'],
    ['before bootstrap dev.tunneld.tunneld', 'old'],
    ['after bootstrap dev.tunneld.tunneld', 'old'],
    ['before disable org.example.relay', 'new'],
    ['after disable org.example.relay', 'new'],
  ] as const)
    test(`has the ${has} tunnel when it is killed ${at}, after a restart too, and goes on when it is run again`, async (t) => {
      const { mac, run, port, plist, service, job, isLoaded, workFolders } = await start(t);
      await until(() => answers(port), { what: 'the tunnel of the job' });
      mac.set('dies', at);
      assert.equal((await run()).code, null);
      // What a start of the machine would find, had the power been lost then. Between two files there may be both, which are both proven.
      const [oldStarts, newStarts] = [
        existsSync(plist) && mac.get('disabled-org.example.relay') === null,
        existsSync(service) && mac.get('disabled-dev.tunneld.tunneld') === null,
      ];
      assert.equal(newStarts, has === 'new');
      // What waits for the end of the installer may have disabled the old one by now.
      if (at !== 'before disable org.example.relay') assert.equal(oldStarts, at !== 'after disable org.example.relay');

      const isDisabled = () => mac.get('disabled-org.example.relay') !== null;
      const isOver = () =>
        isLoaded('org.example.relay') === (has === 'old') &&
        isLoaded('dev.tunneld.tunneld') === (has === 'new') &&
        isDisabled() === (has === 'new') &&
        workFolders().length === 0;
      await until(isOver, { what: () => `one of the two; ${mac.calls().join()}` });
      await until(() => answers(port), { what: 'the tunnel' });

      const again = await run();
      assert.equal(again.code, has === 'old' ? 0 : 1, again.stderr);
      assert.deepEqual([mac.get('service-org.example.relay'), isDisabled(), existsSync(service)], [null, true, true]);
      assert.ok((await answers(port)) && mac.calls().includes(`disable ${job}`));
    });

  test('takes over a job beside the tunnels of a running service, by a trial of its configuration, wherever it is killed', async (t) => {
    const { mac, run, command, port, config, before, isLoaded, workFolders } = await start(t);
    const installed = await command('install');
    assert.equal(installed.code, 0, installed.stderr);
    const daemon = mac.get('pid');
    const settles = (has: 'old' | 'new') =>
      until(() => isLoaded('org.example.relay') === (has === 'old') && workFolders().length === 0, {
        what: () => `one of the two; ${mac.calls().join()}`,
      });

    chownSync(dirname(config), 65_534, 65_534);
    mac.set('calls', '');
    const foreign = await run();
    assert.match(foreign.stderr, /root tries nothing out in .*: run sudo tunneld uninstall/);
    assert.deepEqual([foreign.code, mac.calls().filter((call) => call !== '')], [1, []]);
    chownSync(dirname(config), 0, 0);

    mac.set('dies', 'after bootout org.example.relay');
    assert.equal((await run()).code, null);
    await settles('old');
    assert.equal(readFileSync(config, 'utf8'), before);
    await until(() => answers(port), { what: 'the tunnel of the job' });

    mac.set('dies', 'before disable org.example.relay');
    const killed = await run();
    assert.equal(killed.code, null);
    await settles('new');
    assert.match(readFileSync(config, 'utf8'), /^ {2}127-0-0-1:\n/m, killed.stderr);
    assert.notEqual(mac.get('disabled-org.example.relay'), null);
    await until(() => answers(port), { what: 'the new tunnel' });
    assert.equal(mac.get('pid'), daemon);
  });
});

/** A Mac has neither: this machine may have a service of its own, or a tunnel in its crontab. */
const WITHOUT_OURS =
  'for path in /etc/tunneld /var/spool/cron; do [ ! -d "$path" ] || mount -t tmpfs none "$path"; done; exec "$0" "$@"';
const OWN_FILES =
  process.getuid?.() === 0 ? ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', WITHOUT_OURS] : [];

/** Whether what is behind the tunnel speaks. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {});
    socket.once('data', () => resolve(true));
    socket.once('close', () => resolve(false));
    socket.once('error', () => resolve(false));
    socket.setTimeout(5000, () => socket.destroy());
  });
}

/** A job that keeps a tunnel up with ssh, on a Mac without the service. */
async function start(t: TestContext) {
  const [sshd, mac] = await Promise.all([startSshd(), fakeMac(t)]);
  t.after(() => sshd.stop());
  const target = createServer((one) => one.on('error', () => {}).end('SSH-2.0-x\r\n'));
  const to = await listen(target);
  t.after(() => target.close());
  const port = await freePort();
  const known = join(mac.home, 'known_hosts');
  writeFileSync(known, sshd.knownHostsLine('127.0.0.1', sshd.port));
  const options = [
    '-F',
    'none',
    '-o',
    `UserKnownHostsFile=${known}`,
    '-o',
    'ExitOnForwardFailure=yes',
    '-o',
    'BatchMode=yes',
  ];
  const login = ['-i', sshd.clientKey, '-p', String(sshd.port), '-l', sshd.user];
  const ssh = ['/usr/bin/ssh', '-N', ...options, ...login, '-R', `${port}:127.0.0.1:${to}`, '127.0.0.1'];
  const agents = join(mac.home, 'Library/LaunchAgents');
  mkdirSync(agents, { recursive: true });
  const plist = join(agents, 'relay.plist');
  // Its key lets it in, and no password is asked for.
  const sshpass = join(mac.home, 'sshpass');
  writeFileSync(sshpass, '#!/bin/sh\nshift 2\nexec "$@"\n', { mode: 0o755 });
  const argv = [sshpass, '-p', 'secret', ...ssh];
  writeFileSync(plist, renderPlist('', { Label: 'org.example.relay', ProgramArguments: argv, KeepAlive: true }, {}));
  execFileSync('launchctl', ['bootstrap', 'gui/501', plist], { env: mac.env });
  // What the service had before, and where the daemon of this test may listen.
  const config = join(mac.home, '.config/tunneld/config.yaml');
  const before = `tunnels:
  a: { host: 127.0.0.1, port: ${await freePort()}, sshConfig: none, remoteForward: "8080:localhost:22" }
network: { ping: [] }
control: { socket: ${JSON.stringify(join(mac.home, 's'))} }
stateDirectory: ${JSON.stringify(join(mac.home, 'state'))}
`;
  mkdirSync(dirname(config), { recursive: true });
  writeFileSync(config, before);
  const temporary = await tempDir(t);
  const program = await launchdProgram();
  const command = (...args: string[]) =>
    new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
      const env = { ...mac.env, HOME: mac.home, TMPDIR: temporary, SSH_AUTH_SOCK: '', XDG_RUNTIME_DIR: '' };
      const child = spawn('env', [...OWN_FILES, process.execPath, ...program, ...args], { env });
      let [stdout, stderr] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (data: string) => (stdout += data));
      child.stderr.setEncoding('utf8').on('data', (data: string) => (stderr += data));
      child.once('error', reject);
      child.once('close', (code) => resolve({ code, stdout, stderr }));
      t.after(() => child.kill('SIGKILL'));
    });
  return {
    mac,
    sshd,
    port,
    command,
    run: (...args: string[]) => command('from', '--yes', ...args),
    plist,
    isLoaded: (label: string) => spawnSync('launchctl', ['print', `gui/501/${label}`], { env: mac.env }).status === 0,
    workFolders: () => readdirSync(temporary).filter((name) => name.startsWith('tunneld-takeover-')),
    job: 'gui/501/org.example.relay',
    config,
    before,
    service: join(agents, 'dev.tunneld.tunneld.plist'),
    verbs: () =>
      mac
        .calls()
        .filter((call) => call !== '')
        .map((call) => call.split(' ')[0]),
  };
}
