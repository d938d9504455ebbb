import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startSshd } from '../../support/sshd.ts';
import { startFakeServer } from '../../support/fake-server.ts';
import { PROGRAM, type CommandResult, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

describe('init, where something is in the way', { concurrency: 2 }, () => {
  test('goes on where an earlier run was when that was killed', async (t) => {
    const { dir, init } = await device(t);
    assert.equal((await init()).code, 0);
    const files = ['known_hosts', 'new.key', 'new.key.pub', 'config.yaml'];
    assert.deepEqual(readdirSync(dir).toSorted(), files.toSorted());
    for (let done = files.length - 1; done >= 0; done -= 1) {
      const kept = Object.fromEntries(
        files.slice(0, done).map((name) => [name, readFileSync(join(dir, name), 'utf8')]),
      );
      for (const name of files.slice(done)) rmSync(join(dir, name));
      // It was being written.
      writeFileSync(join(dir, `.${files[done]}.99999999.0123456789ab.new`), 'ha');
      const { code, stderr } = await init();
      assert.equal(code, 0, stderr);
      assert.deepEqual(readdirSync(dir).toSorted(), files.toSorted());
      for (const [name, text] of Object.entries(kept)) assert.equal(readFileSync(join(dir, name), 'utf8'), text, name);
    }
    const key = execFileSync('ssh-keygen', ['-y', '-f', join(dir, 'new.key')], { encoding: 'utf8' });
    assert.equal(readFileSync(join(dir, 'new.key.pub'), 'utf8'), key);
  });

  test('says so there and in the file when a forward is a SOCKS proxy into the network of the device', async (t) => {
    const { dir, init } = await device(t);
    const { code, stdout, stderr } = await init('-R', 'localhost:1080:socks');
    assert.equal(code, 0, stderr);
    assert.match(readFileSync(join(dir, 'config.yaml'), 'utf8'), /- \{ listen: 'localhost:1080', target: socks \}\n/);
    assert.match(stdout, /permitlisten="localhost:1080"/);
  });

  test('leaves nothing half written when the disk is full', (t) => onFullDisks(t));

  test('says so before it makes anything when keys are none, and overwrites nothing', async (t) => {
    const { dir, init } = await device(t);
    const key = join(dir, 'new.key');
    const cases: readonly (readonly [RegExp, () => void])[] = [
      [/new\.key is not a regular file/, () => mkdirSync(key)],
      [/holds no private key/, () => writeFileSync(key, 'junk\n', { mode: 0o600 })],
      [/dangling link: remove it/, () => symlinkSync(join(dir, 'nothing'), key)],
      [/\.pub exists without its private key/, () => writeFileSync(`${key}.pub`, 'ssh-ed25519 AAAA of an agent\n')],
    ];
    for (const [message, spoil] of cases) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      spoil();
      const before = readdirSync(dir);
      const { code, stderr } = await init();
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.deepEqual(readdirSync(dir), before);
    }
    assert.equal(readFileSync(`${key}.pub`, 'utf8'), 'ssh-ed25519 AAAA of an agent\n');
  });

  test('makes nothing when the name is taken, the file broken, or no script can be made for the user', async (t) => {
    const { dir, init, port } = await device(t);
    mkdirSync(dir);
    const file = join(dir, 'config.yaml');
    writeFileSync(file, 'tunnels:\n  new:\n    host: elsewhere\n    remoteForward: 1:a:1\n');
    const clash = await init();
    assert.equal(clash.code, 1);
    assert.match(
      clash.stderr,
      /has another tunnel new \(\S+@elsewhere:22 .*, not .*\): give what is to be changed by --set, .*, edit it there, or choose a name with --name/,
    );
    writeFileSync(file, 'tunnels:\n');
    assert.equal((await init()).code, 78);
    rmSync(file);
    for (const [server, message] of [
      [`o'brien@127.0.0.1:${port}`, /'o'brien' cannot be written/],
      [`root@127.0.0.1:${port}`, /root of the server cannot be used for a tunnel: name another user/],
    ] as const) {
      const { code, stderr } = await tunneld(['init', server, '-R', '1:a:1', '--config', file]);
      assert.equal(code, 1);
      assert.match(stderr, message);
    }
    assert.match((await init('--jump', '-R', '0:localhost:22')).stderr, /add one with a fixed port/);
    assert.match(
      (await init('-R', '80:localhost:22')).stderr,
      /localhost:80 is below 1024, where sshd lets only root listen: choose a larger port/,
    );
    for (const [args, message] of [
      [['h:0', '-R', '1:a:1'], /the server has the port 0: a port is a number from 1 to 65535/],
      [['me@h', '-R', '65536:a:1'], /-R "65536:a:1" has '65536' instead of a port/],
      [['me@h', '-R', '8080'], /-R "8080" has no target: write 8080:localhost:22, or 8080:socks for a SOCKS proxy/],
      [
        ['me@h', '-R', '80:8080'],
        /-R "80:8080" has no target: write 8080:localhost:8080 \(sshd opens .* root only\), or 80:8080:socks for/,
      ],
    ] as const) {
      const { code, stderr } = await tunneld(['init', ...args, '--config', file]);
      assert.equal(code, 2);
      assert.match(stderr, message);
    }
  });

  test('keeps key and known hosts of a tunnel when a person wrote it', async (t) => {
    const { dir, init, port, hostKey } = await device(t);
    mkdirSync(dir);
    const file = join(dir, 'config.yaml');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'mine')]);
    writeFileSync(join(dir, 'hosts'), `[127.0.0.1]:${port} ${hostKey}\n`);
    writeFileSync(
      file,
      `tunnels: { new: { host: 127.0.0.1, port: ${port}, user: me, identityFile: mine, userKnownHostsFile: hosts, remoteForward: "8080:./here.sock" } }\n`,
    );
    const before = readdirSync(dir);
    const { code, stdout, stderr } = await init('-R', '8080:./here.sock');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /has this tunnel already/);
    assert.ok(stdout.includes(readFileSync(join(dir, 'mine.pub'), 'utf8').split(' ')[1]!));
    assert.deepEqual(readdirSync(dir), before);
  });

  test('compares a given fingerprint with the known key, too, and understands a whole line of ssh-keygen', async (t) => {
    const { init, fingerprint } = await device(t);
    const line = await init('--host-key-fingerprint', `256 ${fingerprint} root@server (ED25519)`);
    assert.equal(line.code, 0, line.stderr);
    const other = await init('--host-key-fingerprint', `SHA256:${'A'.repeat(43)}`);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /the host key of .* is known, and is not "SHA256:A+" but SHA256:/);
    assert.equal(other.stdout, '');
  });

  test("does not take a key for known when it is the same host's on another port", async (t) => {
    const { dir, init } = await device(t);
    mkdirSync(dir);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'other')]);
    const [type, key] = readFileSync(join(dir, 'other.pub'), 'utf8').split(' ');
    writeFileSync(join(dir, 'known_hosts'), `127.0.0.1 ${type} ${key}\n`);
    const { code, stderr } = await init();
    assert.equal(code, 0, stderr);
    assert.match(readFileSync(join(dir, 'known_hosts'), 'utf8'), /^127\.0\.0\.1 .*\n\[127\.0\.0\.1\]:\d+ ssh-ed25519 /);
  });

  test('ends when Ctrl-C is pressed, at a question and while it waits', async (t) => {
    const { dir, args } = await device(t);
    mkdirSync(dir);
    const waiting = args.filter((word) => word !== '--no-wait');
    const asking = waiting.slice(0, waiting.indexOf('-R'));
    for (const [words, when] of [
      [asking, /The port of the server/],
      [waiting, /waiting until the server/],
    ] as const) {
      const command = [process.execPath, ...PROGRAM, ...words].map((word) => `'${word}'`).join(' ');
      const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'], cwd: dir });
      t.after(() => child.kill('SIGKILL'));
      let said = '';
      child.stdout.on('data', (text) => (said += String(text)));
      const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
      if (when.source.startsWith('waiting')) {
        await until(() => said.includes('Your own login on the server'), {
          what: () => `the question; it said: ${said}`,
        });
        child.stdin.write('no\n');
      }
      await until(() => when.test(said), { what: () => `${when}; it said: ${said}` });
      child.stdin.write('\u0003');
      assert.equal(await exited, 130, said);
    }
  });

  test('reports a server when it hangs up instead of a key, with nothing raw', async (t) => {
    const { dir } = await device(t);
    const { port } = await startFakeServer(t, (socket) => socket.end('SSH-2.0-\u001b[31mevil\r\n'));
    const args = ['init', `me@127.0.0.1:${port}`, '-R', '8080:localhost:22', '--host-key-fingerprint', 'SHA256:A'];
    const { code, stderr } = await tunneld([...args, '--config', join(dir, 'config.yaml')]);
    assert.equal(code, 1);
    assert.match(stderr, /sent no host key: \S/);
    assert.ok(!stderr.includes('\u001b'));
    assert.equal(existsSync(join(dir, 'known_hosts')), false);
  });

  test("says what to look at when the server's port has no listener", async (t) => {
    const { dir } = await device(t);
    const args = [
      'init',
      `me@127.0.0.1:${await freePort()}`,
      '-R',
      '8080:localhost:22',
      '--config',
      join(dir, 'config.yaml'),
    ];
    const { code, stderr } = await tunneld(args);
    assert.equal(code, 1);
    assert.match(stderr, /ECONNREFUSED\. Nothing listens on that port: check port/);
  });

  test('works when the configuration is named by a relative path', async (t) => {
    const { dir, port, fingerprint } = await device(t);
    mkdirSync(dir);
    const args = [
      'init',
      `me@127.0.0.1:${port}`,
      '-R',
      '8080:localhost:22',
      '--no-wait',
      '--host-key-fingerprint',
      fingerprint,
    ];
    const { code, stderr } = await tunneld([...args, '--config', 'a/config.yaml'], { cwd: dir });
    assert.equal(code, 0, stderr);
  });

  test('gives to the service what root makes in its folder', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root');
    const { dir, init } = await device(t);
    mkdirSync(dir, { mode: 0o700 });
    chownSync(dir, 60_123, 60_124);
    assert.equal((await init()).code, 0);
    for (const name of readdirSync(dir)) {
      const { uid, gid } = statSync(join(dir, name));
      assert.deepEqual([uid, gid], [60_123, 60_124], name);
    }
  });
});

/** Disks from one on which nothing fits to one on which all does; a tmpfs gives whole pages. */
async function onFullDisks(t: TestContext): Promise<void> {
  if (!mayBuildNetworks(t)) return;
  const { dir, args } = await device(t);
  mkdirSync(dir);
  const codes: (number | null)[] = [];
  for (let pages = 1; pages <= 5; pages += 1) {
    const script = `mount -t tmpfs -o size=${pages * 4}k none '${dir}' || exit 99
"$@"; echo "code $?"; wc -c '${dir}'/* | sed 's/^ *//'
mount -o remount,size=1m '${dir}'
exec "$@"`;
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', process.execPath, ...PROGRAM, ...args],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(status, 0, `${pages}: ${stderr}`);
    codes.push(Number(/^code (\d+)$/m.exec(stdout)?.[1]));
    for (const [, size, name] of stdout.matchAll(/^(\d+) .*\/(new\.key|new\.key\.pub|config\.yaml)$/gm))
      assert.notEqual(size, '0', `${pages}: ${name}`);
    assert.doesNotMatch(stdout, /\.new$/m);
  }
  assert.deepEqual([codes[0], codes.at(-1)], [1, 0]);
}

interface Device {
  readonly dir: string;
  readonly port: number;
  /** Its type and the key, as known_hosts has it. */
  readonly hostKey: string;
  readonly fingerprint: string;
  readonly args: readonly string[];
  init(...more: string[]): Promise<CommandResult>;
}

async function device(t: TestContext): Promise<Device> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const dir = join(await tempDir(t), 'tunneld');
  const file = `${sshd.hostKeys[0]!.file}.pub`;
  const hostKey = readFileSync(file, 'utf8').split(' ').slice(0, 2).join(' ').trim();
  const fingerprint = execFileSync('ssh-keygen', ['-lf', file], { encoding: 'utf8' }).split(' ')[1] ?? '';
  const base = [
    'init',
    `me@127.0.0.1:${sshd.port}`,
    '--name',
    'new',
    '--config',
    join(dir, 'config.yaml'),
    '--no-wait',
  ];
  const init = (...more: string[]) => {
    const forward = more.includes('-R') ? [] : ['-R', '8080:localhost:22'];
    const print = more.includes('--host-key-fingerprint') ? [] : ['--host-key-fingerprint', fingerprint];
    return tunneld([...base, ...forward, ...print, ...more]);
  };
  const args = [...base, '-R', '8080:localhost:22', '--host-key-fingerprint', fingerprint];
  return { dir, port: sshd.port, hostKey, fingerprint, args, init };
}
