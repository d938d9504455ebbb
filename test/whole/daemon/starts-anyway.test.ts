import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { ask } from '../../../src/control/client.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { CLI, NODE_FLAGS, readableCli, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

/** Of nobody in the password database. */
const STRANGER = 54_321;
const isRoot = process.getuid?.() === 0;

/** Something about the machine that a daemon would like to be otherwise. */
interface Obstacle {
  readonly what: string;
  /** Lines of the configuration. */
  readonly lines?: (dir: string) => string;
  /** Only these variables, if there are any. */
  readonly env?: (dir: string) => NodeJS.ProcessEnv;
  /** What a shell does before it becomes the daemon. */
  readonly before?: string;
  readonly prepare?: (dir: string, t: TestContext) => void | Promise<void>;
  /** What the log has once at `warn`. */
  readonly said: RegExp | null;
  /** Status says it too. */
  readonly told?: boolean;
}

const NO_SOCKET = /control socket .*; no command reaches this daemon/;
const STATE = 'stateDirectory: state\n';
const SOCKET = 'control: { socket: control.sock }\n';

const OBSTACLES: readonly Obstacle[] = [
  { what: 'a home that does not exist', env: () => ({ HOME: '/nonexistent' }), said: NO_SOCKET },
  { what: 'a home that is the root', env: () => ({ HOME: '/' }), said: NO_SOCKET },
  { what: 'no home, for a user without a line in passwd', env: () => ({}), said: NO_SOCKET },
  { what: 'an empty home', env: () => ({ HOME: '' }), said: NO_SOCKET },
  { what: 'a home that is a file', env: (dir) => ({ HOME: join(dir, 'config.yaml') }), said: NO_SOCKET },
  {
    what: 'a directory for the socket that nobody can make',
    lines: () => `control: { socket: /proc/tunneld/control.sock }\n${STATE}`,
    said: NO_SOCKET,
  },
  {
    what: 'a runtime directory with a long name',
    env: (dir) => ({ XDG_RUNTIME_DIR: join(dir, 'x'.repeat(100)) }),
    lines: () => STATE,
    said: /control socket.* longer than 107 bytes/,
  },
  {
    what: 'a file in the place of the socket',
    lines: () => SOCKET + STATE,
    prepare: (dir) => writeFileSync(join(dir, 'control.sock'), 'precious'),
    said: /control socket.*exists and is not a socket/,
  },
  {
    what: 'a directory in the place of the socket',
    lines: () => SOCKET + STATE,
    prepare: (dir) => mkdirSync(join(dir, 'control.sock')),
    said: NO_SOCKET,
  },
  {
    what: 'another program at the socket, which says nothing',
    lines: () => SOCKET + STATE,
    prepare: (dir, t) => listenAt(t, join(dir, 'control.sock'), () => {}),
    said: /another program listens there/,
  },
  {
    what: 'another program at the socket, which talks nonsense',
    lines: () => SOCKET + STATE,
    prepare: (dir, t) => listenAt(t, join(dir, 'control.sock'), (socket) => socket.end('{"ok":true}\n')),
    said: /another program listens there/,
  },
  {
    what: 'a daemon of another configuration at the socket',
    lines: () => SOCKET + STATE,
    prepare: (dir, t) =>
      listenAt(t, join(dir, 'control.sock'), (socket) =>
        socket.end('{"ok":true,"result":{"config":"/other.yaml","pid":1}}\n'),
      ),
    said: /another program listens there/,
  },
  {
    what: 'a state directory that nobody can make',
    lines: () => `${SOCKET}stateDirectory: /proc/tunneld\n`,
    told: true,
    said: /cannot be written, so source ports are not remembered: .*E[A-Z]+/,
  },
  {
    what: 'a file in the place of the state directory',
    lines: () => `${SOCKET}stateDirectory: config.yaml\n`,
    told: true,
    said: /the source ports are lost|source ports are not remembered/,
  },
  {
    what: 'a log file that is a directory',
    lines: (dir) => `${SOCKET}${STATE}log: { file: ${dir} }\n`,
    told: true,
    said: /log file .* cannot be written: .*EISDIR/,
  },
  {
    what: 'a log file on a full disk',
    lines: () => `${SOCKET}${STATE}log: { file: /dev/full }\n`,
    told: true,
    said: /log file \/dev\/full cannot be written: ENOSPC/,
  },
  {
    what: 'a log file that is a pipe',
    lines: () => `${SOCKET}${STATE}log: { file: pipe }\n`,
    before: 'mkfifo "$DIR/pipe"',
    told: true,
    said: /log file .* cannot be written: .*ENXIO/,
  },
  {
    what: 'a directory that is gone',
    lines: () => SOCKET + STATE,
    before: 'mkdir "$DIR/gone"; cd "$DIR/gone"; rmdir "$DIR/gone"',
    said: null,
  },
  { what: 'no standard error and no standard input', lines: () => SOCKET + STATE, before: 'exec 2>&- <&-', said: null },
  { what: 'a mask that takes all permissions', lines: () => SOCKET + STATE, before: 'umask 777', said: null },
  {
    what: 'no PATH, and a service manager that cannot be told',
    lines: () => SOCKET + STATE,
    env: (dir) => ({ NOTIFY_SOCKET: join(dir, 'nobody'), WATCHDOG_USEC: '60000000' }),
    said: /systemd could not be notified/,
  },
];

describe('whatever the machine lacks, the tunnel runs', { concurrency: 4 }, () => {
  let sshd: TestSshd;
  let echo: Awaited<ReturnType<typeof startEcho>>;
  before(async () => {
    sshd = await startSshd();
    echo = await startEcho();
  });
  after(async () => {
    await sshd.stop();
    await echo.close();
  });

  for (const obstacle of OBSTACLES) {
    test(`runs the tunnel when the machine has ${obstacle.what}`, async (t) => {
      const daemon = await start(t, obstacle, sshd, echo.port);
      await until(async () => (await visit(daemon.port, 'hello')) === 'hello', {
        what: () => `the tunnel; stderr: ${daemon.stderr()}`,
      });
      if (obstacle.said === null) return;
      const { said } = obstacle;
      await until(async () => said.test(await daemon.log()), { what: () => `${said}; stderr: ${daemon.stderr()}` });
      daemon.child.kill('SIGHUP');
      await until(async () => (await daemon.log()).includes('configuration reloaded'), {
        what: () => `a reload; stderr: ${daemon.stderr()}`,
      });
      const lines = (await daemon.log()).split('\n');
      assert.equal(
        lines.filter((line) => line.startsWith('{"level":40') && said.test(line)).length,
        1,
        lines.join('\n'),
      );
      if (obstacle.told === true) assert.match((await daemon.problems()).join(), said);
    });
  }
});

test('makes the socket at a reload when nothing prevents it any more, and again when it was removed', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const place = (dir: string) => join(dir, 'control.sock');
  const obstacle: Obstacle = {
    what: '',
    lines: () => SOCKET + STATE,
    prepare: (dir) => writeFileSync(place(dir), 'in the way'),
    said: null,
  };
  const daemon = await start(t, obstacle, sshd, echo.port);
  const status = () => tunneld(['status', '--config', join(daemon.dir, 'config.yaml')]);
  await until(() => NO_SOCKET.test(daemon.stderr()), { what: () => daemon.stderr() });
  assert.equal((await status()).code, 3);
  assert.equal(readFileSync(place(daemon.dir), 'utf8'), 'in the way');
  for (const removed of ['what was in the way', 'the socket of a daemon that runs']) {
    rmSync(place(daemon.dir));
    daemon.child.kill('SIGHUP');
    await until(async () => (await status()).code === 0, {
      what: () => `an answer without ${removed}; ${daemon.stderr()}`,
    });
  }
  await until(() => daemon.stderr().includes('the control socket works again'), { what: () => daemon.stderr() });
  daemon.child.kill('SIGTERM');
  await until(() => !existsSync(place(daemon.dir)), { what: 'the socket removed' });
});

test("refuses to start when the same configuration runs already, and leaves another daemon's socket when it ends", async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const first = await start(t, { what: '', lines: () => SOCKET + STATE, said: null }, sshd, 9);
  const config = join(first.dir, 'config.yaml');
  const pidOf = async () =>
    (JSON.parse((await tunneld(['status', '--json', '--config', config])).stdout) as { pid: number }).pid;
  await until(pidOf, { what: 'an answer' });
  const second = await tunneld(['run', '--config', config]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /another tunneld is running on .*config\.yaml: process \d+ answers at /);

  rmSync(join(first.dir, 'control.sock'));
  const third = await start(t, { what: '', said: null }, sshd, 9, first.dir);
  await until(async () => (await pidOf()) === third.child.pid, { what: 'the answer of the other daemon' });
  const ended = new Promise((resolve) => first.child.once('exit', resolve));
  first.child.kill('SIGTERM');
  await ended;
  assert.equal(await pidOf(), third.child.pid);
});

test('fails in doctor when only root can read known_hosts any more, and --fix gives it back to the daemon', async (t) => {
  if (!isRoot) return t.skip('only root has files of others');
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  // As `sudo ssh-keygen -R` leaves it.
  const prepare = (dir: string) => chownSync(join(dir, 'known_hosts'), 0, 0);
  const obstacle: Obstacle = { what: '', lines: () => SOCKET + STATE, prepare, said: null };
  const { dir, port, stderr } = await start(t, obstacle, sshd, echo.port);
  chmodSync(join(dir, 'known_hosts'), 0o600);
  await until(() => /host-key-unknown/.test(stderr()), { what: stderr });
  const doctor = async (...args: string[]) => {
    const { stdout } = await tunneld(['doctor', '--json', '--config', join(dir, 'config.yaml'), ...args]);
    const { steps } = JSON.parse(stdout) as { steps: { step: string; result: string; seen: string }[] };
    return steps.filter(({ step }) => step === 'permissions').map(({ result, seen }) => `${result}: ${seen}`);
  };
  assert.match((await doctor()).join(), /^fail: .*known_hosts cannot be read by the daemon \(user 54321\)/);
  assert.match((await doctor('--fix')).join(), /^ok: .*known_hosts.*: it belongs to 54321 now/);
  await until(async () => (await visit(port, 'hello')) === 'hello', { what: stderr });
});

/** Runs the daemon as a user without a home; `inDir` is that of another one, whose files it takes as they are. */
async function start(t: TestContext, obstacle: Obstacle, sshd: TestSshd, target: number, inDir?: string) {
  const dir = inDir ?? (await tempDir(t));
  const port = await freePort();
  if (inDir === undefined) {
    copyFileSync(sshd.clientKey, join(dir, 'key'));
    chmodSync(join(dir, 'key'), 0o600);
    writeFileSync(join(dir, 'known_hosts'), `${sshd.knownHostsLine('127.0.0.1', sshd.port)}\n`);
    writeFileSync(
      join(dir, 'config.yaml'),
      `tunnels:
  a:
    host: 127.0.0.1
    port: ${sshd.port}
    user: ${sshd.user}
    identityFile: key
    userKnownHostsFile: known_hosts
    sshConfig: none
    remoteForward: ${port}:127.0.0.1:${target}
network: { ping: [] }
${obstacle.lines?.(dir) ?? ''}`,
    );
    if (isRoot)
      for (const name of ['', 'key', 'known_hosts', 'config.yaml']) chownSync(join(dir, name), STRANGER, STRANGER);
    await obstacle.prepare?.(dir, t);
  }
  const script = `${obstacle.before ?? ':'}; exec "$NODE" ${NODE_FLAGS.join(' ')} "$CLI" run --config "$DIR/config.yaml"`;
  const env = obstacle.env?.(dir) ?? { HOME: dir, PATH: process.env['PATH'] };
  const log = join(dir, 'stderr');
  const output = openSync(log, 'a');
  const child = spawn('/bin/sh', ['-c', script], {
    stdio: ['ignore', 'ignore', output],
    env: { ...env, DIR: dir, NODE: process.execPath, CLI: isRoot ? await readableCli(t) : CLI },
    ...(isRoot ? { uid: STRANGER, gid: STRANGER } : {}),
  });
  closeSync(output);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const stderr = () => readFileSync(log, 'utf8');
  const socket = [join(dir, 'control.sock')];
  const elsewhere = obstacle.lines?.(dir).includes('log:') === true;
  return {
    child,
    dir,
    port,
    stderr,
    /** From memory where the log goes to a file. */
    log: async () => (elsewhere ? await logOf(socket) : stderr()),
    problems: async () => {
      const answer = await ask(socket, { command: 'status' });
      return answer.ok ? (answer.result.problems ?? []) : [];
    },
  };
}

async function logOf(socket: readonly string[]): Promise<string> {
  const lines: string[] = [];
  await ask(socket, { command: 'logs', name: null, lines: 1000, follow: false }, (line) => lines.push(line));
  return lines.join('\n');
}

async function listenAt(t: TestContext, path: string, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer(serve).listen(path);
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  chmodSync(path, 0o777);
}
