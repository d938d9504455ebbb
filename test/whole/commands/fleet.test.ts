import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { FleetDevice, FleetServer } from '../../../src/fleet/document.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';
import { sshdPath } from '../../support/sshd-process.ts';
import { PROGRAM } from '../../support/tunneld.ts';
import { until } from '../../support/until.ts';
import { untilListening } from '../server-setup/fixture.ts';

/** A user of a directory service that answers for each of its users, and lists none. */
const UNLISTED = 'unlisted';

const OTHER_KEY = 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';

test('names each device in trouble among a thousand, by root and by others', async (t) => {
  const place = await start(t);
  if (place === null) return;
  const { world, register, connect, fleet, hostKey, occupy } = place;
  for (let index = 0; index < 1000; index += 1) register({ name: `idle${index}`, port: 30_000 + index });
  register({ name: 'well', port: 8001, hostKey });
  register({ name: 'unrecorded', port: 8002 });
  register({ name: 'gone', port: 8003, hostKey });
  register({ name: 'fresh', port: 8004, hostKey });
  register({ name: 'squatted', port: 8005, hostKey });
  register({ name: 'crossed', port: 8006, hostKey });
  register({ name: 'swapped', port: 8007, hostKey: OTHER_KEY });
  register({ name: 'mute', port: 8008, hostKey });
  register({ name: 'deaf', port: 8009, hostKey });
  register({ name: 'web', port: 8010, hostKey });
  register({ name: 'ghost', port: 8011, hostKey, isUserless: true });
  register({ name: 'wide', port: 8012, hostKey });
  register({ name: 'twin', port: 8001, hostKey });
  register({ name: 'portless', port: null });
  register({ name: UNLISTED, port: 8013, hostKey });
  occupy(8005, 0);
  occupy(8006, uidOf('well', place));
  occupy(8099, 0);
  connect('well', '8001:localhost:2022');
  connect('unrecorded', '8002:localhost:2022');
  connect('swapped', '8007:localhost:2022');
  connect('mute');
  connect('deaf', '8009:localhost:1');
  connect('web', '8010:localhost:8099');
  connect('wide', '8012:localhost:2022');
  await until(
    () =>
      listens(world, [8001, 8002, 8005, 8006, 8007, 8009, 8010, 8012, 8099]) &&
      /Accepted publickey for mute/.test(world.sshdLog()),
    {
      what: () => `the devices; sshd says: ${world.sshdLog().slice(-2000)}`,
    },
  );

  const visitor = world.spawn([process.execPath, '-e', `require('net').connect(8001, 'localhost').resume()`], {
    stdio: 'ignore',
  });
  t.after(() => visitor.kill('SIGKILL'));
  await until(() => /:8001 /.test(world.run(['ss', '-Htn', 'state', 'established']).stdout), { what: 'the visitor' });

  const { code, stdout, stderr } = fleet('root@server', '--json');
  assert.equal(code, 1, stderr);
  const { servers } = JSON.parse(stdout) as { servers: FleetServer[] };
  const [{ asRoot, problems, devices, hostKeys }] = servers as [FleetServer];
  assert.deepEqual([asRoot, problems], [true, []]);
  assert.equal(devices.length, 1015);
  const of = (name: string) => devices.find(({ user }) => user === name)!;
  const codes = (name: string) => of(name).troubles.map((trouble) => trouble.code);
  assert.deepEqual(summaryOf(of('well')), ['up', 'yes', ['promised-twice']]);
  assert.deepEqual([of('well').from, of('well').visitors], ['127.0.0.1', 1]);
  assert.ok(Math.abs(Date.parse(of('well').since!) - Date.now()) < 600_000);
  assert.deepEqual(summaryOf(of('unrecorded')), ['up', 'unknown', []]);
  assert.equal(of('unrecorded').seenHostKey, hostKey);
  assert.deepEqual(summaryOf(of('gone')), ['down', 'unknown', ['down']]);
  assert.equal(of('gone').lastSeen, '2024-01-02T03:04:05.000Z');
  assert.deepEqual(summaryOf(of('fresh')), ['never', 'unknown', ['never-came']]);
  assert.deepEqual(summaryOf(of('squatted')), ['held', 'unknown', ['held-by-stranger']]);
  // So Node.js 24 names its process.
  assert.match(of('squatted').troubles[0]!.message, /held by (?:node|MainThread) \(process \d+\)/);
  assert.deepEqual(summaryOf(of('crossed')), ['held', 'unknown', ['held-by-device']]);
  assert.match(of('crossed').troubles[0]!.message, /held by well/);
  assert.deepEqual(summaryOf(of('swapped')), ['up', 'no', ['other-host-key']]);
  assert.deepEqual(summaryOf(of('mute')), ['idle', 'unknown', ['not-listening']]);
  assert.deepEqual(summaryOf(of('deaf')), ['up', 'no', ['no-answer']]);
  assert.deepEqual(summaryOf(of('web')), ['up', 'no', ['no-ssh']]);
  assert.deepEqual(codes('ghost'), ['no-user', 'never-came']);
  assert.deepEqual(summaryOf(of('wide')), ['up', 'yes', ['exposed']]);
  assert.deepEqual(codes('portless'), ['no-port']);
  // Its log shows no reload since the key was made: nobody is called told.
  assert.deepEqual(
    hostKeys.map(({ type, offeredSince, notAnnouncedTo }) => [
      type,
      offeredSince,
      notAnnouncedTo.includes('well'),
      notAnnouncedTo.includes('gone'),
    ]),
    [['ssh-ed25519', undefined, true, true]],
  );
  assert.deepEqual(codes('idle999'), ['never-came']);
  assert.deepEqual(codes(UNLISTED), ['never-came']);

  const table = fleet('root@server');
  assert.equal(table.code, 1);
  assert.match(table.stdout, /^DEVICE +USER +PORT +STATE +VERIFIED +SINCE +FROM +VISITORS +LAST SEEN$/m);
  assert.match(table.stdout, /^swapped-pi +swapped +8007 +up, other-host-key +no +\d+[sm].* +127\.0\.0\.1 +0 +-$/m);
  assert.match(table.stdout, /^swapped-pi \(swapped\): other-host-key: another machine answers/m);
  const nagios = fleet('root@server', '--nagios');
  assert.equal(nagios.code, 2);
  assert.match(
    nagios.stdout,
    /^FLEET CRITICAL: 1014 of 1015 in trouble: crossed-pi held-by-device, .*, and 994 more\|up=6;;;0;1015 /,
  );
  const metrics = fleet('root@server', '--prometheus').stdout;
  assert.match(metrics, /^tunneld_fleet_up\{server="root@server:22",device="well-pi",user="well",port="8001"\} 1$/m);
  assert.match(metrics, /^tunneld_fleet_trouble\{.*device="web-pi",user="web",code="no-ssh"\} 1$/m);

  // Somebody who is not root sees less, and is told so.
  const less = fleet('owner@server', '--json');
  const [seen] = (JSON.parse(less.stdout) as { servers: FleetServer[] }).servers as [FleetServer];
  assert.equal(seen.asRoot, false);
  assert.match(seen.problems.join('\n'), /not read as root/);
  const well = seen.devices.find(({ user }) => user === 'well')!;
  assert.deepEqual([well.state, well.verified, well.from], ['up', 'yes', undefined]);
});

test('shows fifty devices of two servers side by side, and a server that cannot be read as that', async (t) => {
  const [here, there] = await Promise.all([start(t), start(t)]);
  if (here === null || there === null) return;
  linkTo(here, there, t);
  for (const [index, { register, connect, hostKey }] of [here, there].entries()) {
    for (let device = 0; device < 20; device += 1)
      register({ name: `d${index}x${device}`, port: 8100 + device, hostKey });
    for (let device = 0; device < 3; device += 1) connect(`d${index}x${device}`, `${8100 + device}:localhost:2022`);
  }
  const { register: onBoth, connect } = here;
  onBoth({ name: 'both', port: 8001, hostKey: here.hostKey, failsOver: true });
  there.register({ name: 'both', port: 8001, hostKey: there.hostKey, failsOver: true, publicKey: here.publicKey });
  connect('both', '8001:localhost:2022');
  troubleTen(here, there);
  await until(
    () => listens(here.world, [8001, 8100, 8101, 8102, 8203]) && listens(there.world, [8100, 8101, 8102, 8204]),
    { what: () => here.world.sshdLog() + there.world.sshdLog() },
  );
  await until(() => /Accepted publickey for mute/.test(there.world.sshdLog()), { what: 'mute' });

  const { fleet } = here;
  const both = fleet('root@server', 'root@other', 'root@localhost:1');
  assert.equal(both.code, 1);
  assert.match(both.stdout, /^DEVICE +root@server:22 +root@other:22 +root@localhost:1$/m);
  assert.match(both.stdout, /^both-pi +8001 up, \d+[sm].*, verified +8001 standby +-$/m);
  assert.match(both.stdout, /^d0x0-pi +8100 up, .*, verified +- +-$/m);
  assert.match(both.stdout, /^root@localhost:1: connect-refused: .*\. Nothing listens on that port/m);
  assert.match(
    both.stdout,
    /^root@other:22: of its host key ssh-ed25519 \S+ \(which sshd has not loaded .*\) these devices have not been told yet.*: d1x0-pi/m,
  );
  for (const [name, server, code] of TEN)
    assert.match(both.stdout, new RegExp(`^${name}-pi \\(${name}\\) at root@${server}:22: ${code}: `, 'm'));
  const { servers } = JSON.parse(fleet('root@server', 'root@other', '--json').stdout) as { servers: FleetServer[] };
  assert.deepEqual(
    servers.map(({ devices }) => devices.length),
    [26, 26],
  );

  const unread = fleet('root@localhost:1', '--nagios');
  assert.equal(unread.code, 3);
  assert.match(unread.stdout, /^FLEET UNKNOWN: root@localhost:1: connect-refused/);
  assert.equal(fleet('root@server', '--json', '--nagios').code, 2);

  // It looks on over one login, and asks for the password of sudo once.
  const watch = here.inTerminal('owner@server', '--watch', '--json');
  await until(() => /\[sudo\] password for owner: *$/.test(watch.said()), { what: watch.said });
  watch.type(`${PASSWORD}\r`);
  const looks = () => watch.said().match(/"asRoot":true/g)?.length ?? 0;
  await until(() => looks() === 1, { what: watch.said });
  assert.ok(!watch.said().includes('late-pi'));
  here.register({ name: 'late', port: 8300, hostKey: here.hostKey });
  await until(() => looks() > 1 && watch.said().includes('"late-pi"'), { what: watch.said });
  assert.equal(watch.said().match(/password for owner/g)?.length, 1);
  assert.equal(here.world.sshdLog().match(/Accepted publickey for owner/g)?.length, 1);
  assert.ok(!watch.said().includes(PASSWORD));
});

const PASSWORD = 'correct horse battery';

/** A device, its server, and what is wrong with it. */
const TEN = [
  ['gone', 'server', 'down'],
  ['fresh', 'server', 'never-came'],
  ['squatted', 'server', 'held-by-stranger'],
  ['swapped', 'server', 'other-host-key'],
  ['ghost', 'server', 'no-user'],
  ['portless', 'other', 'no-port'],
  ['mute', 'other', 'not-listening'],
  ['deaf', 'other', 'no-answer'],
  ['twin', 'other', 'promised-twice'],
  ['crossed', 'other', 'held-by-device'],
] as const;

function troubleTen(here: Place, there: Place): void {
  const { hostKey } = here;
  here.register({ name: 'gone', port: 8200, hostKey });
  here.register({ name: 'fresh', port: 8201, hostKey });
  here.register({ name: 'squatted', port: 8202, hostKey });
  here.register({ name: 'swapped', port: 8203, hostKey: OTHER_KEY });
  here.register({ name: 'ghost', port: 8205, hostKey, isUserless: true });
  here.occupy(8202, 0);
  here.connect('swapped', '8203:localhost:2022');
  there.register({ name: 'portless', port: null });
  there.register({ name: 'mute', port: 8203, hostKey });
  there.register({ name: 'deaf', port: 8204, hostKey });
  there.register({ name: 'twin', port: 8100, hostKey });
  there.register({ name: 'crossed', port: 8205, hostKey });
  there.occupy(8205, uidOf('d1x0', there));
  there.connect('mute');
  there.connect('deaf', '8204:localhost:1');
}

/** The other server is `other` here: a socket in the file system leads from one network to the other. */
function linkTo(here: Place, { world: other }: Place, t: TestContext): void {
  const socket = join(other.dir, 'ssh.sock');
  const pipe = (from: string, to: string) => `const net = require('net'), to = () => net.connect(${to}); ${from}`;
  const relay = other.spawn([
    process.execPath,
    '-e',
    pipe(`net.createServer((one) => one.pipe(to()).pipe(one)).listen('${socket}')`, '22'),
  ]);
  t.after(() => relay.kill('SIGKILL'));
  const program = join(here.world.dir, 'to-other.cjs');
  writeFileSync(program, pipe('const one = to(); process.stdin.pipe(one).pipe(process.stdout)', `'${socket}'`));
  const ssh = join(here.world.dir, 'home/.ssh');
  writeFileSync(join(ssh, 'config'), `Host other\n  ProxyCommand ${process.execPath} ${program}\n`);
  writeFileSync(join(ssh, 'id_ed25519'), readFileSync(other.key), { mode: 0o600 });
  appendFileSync(
    join(ssh, 'known_hosts'),
    readFileSync(join(other.dir, 'known_hosts'), 'utf8').replace('server', 'other'),
  );
  for (const admin of ['root', 'owner'])
    writeFileSync(join(here.world.dir, 'etc/ssh/admins', admin), readFileSync(`${other.key}.pub`));
}

interface Registered {
  readonly name: string;
  readonly port: number | null;
  readonly hostKey?: string;
  readonly isUserless?: boolean;
  readonly failsOver?: boolean;
  /** Where it is not the one of `connect`. */
  readonly publicKey?: string;
}

interface Place {
  readonly world: ServerWorld;
  /** The fingerprint of the device's host key. */
  readonly hostKey: string;
  readonly uids: ReadonlyMap<string, number>;
  /** Of the key that `connect` logs in with. */
  readonly publicKey: string;
  register(device: Registered): void;
  /** Logs in as a device does. */
  connect(user: string, forward?: string): void;
  /** A program that says something which is not SSH, at this port of the server. */
  occupy(port: number, uid: number): void;
  fleet(...args: string[]): ReturnType<ServerWorld['run']>;
  /** Fleet, as a person runs it. */
  inTerminal(...args: string[]): { said(): string; type(text: string): void };
}

async function start(t: TestContext): Promise<Place | null> {
  if (!mayBuildNetworks(t)) return null;
  const world = await startServerWorld(t, {
    config: `AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u /etc/ssh/admins/%u
PermitRootLogin yes
MaxStartups 100
Match User wide
  GatewayPorts yes
`,
    prepare: `useradd --no-create-home --shell /bin/sh --groups sudo --password '${hashOf(PASSWORD)}' owner
cp /usr/bin/getent /run/getent
printf '#!/bin/sh\\n/run/getent "$@" | grep -v ^${UNLISTED}:\\n' >/run/listing
chmod +x /run/listing
mount --bind /run/listing /usr/bin/getent`,
  });
  const key = readFileSync(`${world.key}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
  const etc = (path: string) => join(world.dir, 'etc', path);
  for (const folder of ['ssh/authorized_keys.d', 'ssh/admins']) mkdirSync(etc(folder));
  for (const admin of ['root', 'owner']) writeFileSync(etc(`ssh/admins/${admin}`), `${key}\n`);
  const home = join(world.dir, 'home');
  mkdirSync(join(home, '.ssh'), { recursive: true });
  writeFileSync(join(home, '.ssh/id_ed25519'), readFileSync(world.key), { mode: 0o600 });
  writeFileSync(join(home, '.ssh/known_hosts'), readFileSync(join(world.dir, 'known_hosts')));
  mkdirSync(join(world.dir, 'var/log'), { recursive: true });
  const log = (time: string, user: string) =>
    `${time} relay sshd[1]: Accepted publickey for ${user} from 192.0.2.1 port 1 ssh2\n`;
  writeFileSync(join(world.dir, 'var/log/auth.log'), log('2024-01-02T03:04:05+00:00', 'gone'));
  // Strangers may give any name.
  for (const name of [
    'Accepted publickey for fresh',
    `a relay sshd[1]: Accepted publickey for fresh`,
    'a: Server listening on 0.0.0.0',
  ])
    appendFileSync(
      join(world.dir, 'var/log/auth.log'),
      `2025-01-02T03:04:05+00:00 relay sshd[2]: Invalid user ${name} from 192.0.2.1 port 1\n`,
    );
  const hostKey = startDevice(world);
  await untilListening(world);
  const uids = new Map<string, number>();
  const environment = [`HOME=${home}`, 'SUDO_USER=', 'SSH_AUTH_SOCK=', 'NO_COLOR=1', 'NODE_EXTRA_CA_CERTS='];
  const command = ['env', ...environment, process.execPath, ...PROGRAM, 'fleet'];
  return {
    world,
    hostKey,
    uids,
    publicKey: key,
    register: ({ name, port, hostKey: recorded, isUserless = false, failsOver = false, publicKey = key }) => {
      uids.set(name, 70_000 + uids.size);
      if (!isUserless)
        appendFileSync(etc('passwd'), `${name}:x:${uids.get(name)}:65534::/nonexistent:/usr/sbin/nologin\n`);
      const options = `restrict,port-forwarding${port === null ? '' : `,permitlisten="localhost:${port}"`},command="false"`;
      const record = recorded === undefined ? '' : ` host-key:${port}=${recorded}`;
      writeFileSync(
        etc(`ssh/authorized_keys.d/${name}`),
        `${options} ${publicKey} tunneld relay of ${name}-pi${failsOver ? ' servers:failover' : ''}${record}\n`,
      );
    },
    connect: (user, forward) => {
      const options = forward === undefined ? [] : ['-R', forward];
      const ssh = world.spawn(['ssh', '-F', join(world.dir, 'ssh_config'), '-N', ...options, `${user}@server`], {
        stdio: 'ignore',
      });
      t.after(() => ssh.kill('SIGKILL'));
    },
    occupy: (port, uid) => {
      const program = `require('net').createServer((s) => s.on('error', () => {}).end('hello\\r\\n')).listen(${port}, '127.0.0.1')`;
      const child = world.spawn(['setpriv', `--reuid=${uid}`, '--keep-groups', process.execPath, '-e', program], {
        stdio: 'ignore',
      });
      t.after(() => child.kill('SIGKILL'));
    },
    fleet: (...args) => world.run([...command, ...args]),
    inTerminal: (...args) => {
      const line = [...command, ...args].map((word) => `'${word}'`).join(' ');
      const child = world.spawn(['script', '-qec', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
      t.after(() => child.kill('SIGKILL'));
      let said = '';
      child.stdout!.on('data', (text) => (said += String(text)));
      return { said: () => said, type: (text) => child.stdin!.write(text) };
    },
  };
}

/** As in shadow(5). */
function hashOf(password: string): string {
  const program = 'print crypt($ARGV[0], "\\$6\\$saltsalt\\$")';
  return execFileSync('perl', ['-e', program, password], { encoding: 'utf8' });
}

function startDevice(world: ServerWorld): string {
  const folder = join(world.dir, 'device');
  mkdirSync(folder);
  const hostKey = join(folder, 'ssh_host_ed25519_key');
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  const lines = ['Port 2022', `HostKey ${hostKey}`, 'PidFile none', 'StrictModes no', 'PermitRootLogin yes'];
  writeFileSync(join(folder, 'sshd_config'), `${lines.join('\n')}\nAuthorizedKeysFile ${world.key}.pub\n`);
  world.spawn([sshdPath(), '-D', '-f', join(folder, 'sshd_config')], { stdio: 'ignore' });
  return world.run(['ssh-keygen', '-lf', hostKey]).stdout.split(' ')[1] ?? '';
}

function uidOf(name: string, { uids }: Place): number {
  return uids.get(name)!;
}

function listens(world: ServerWorld, ports: readonly number[]): boolean {
  const { stdout } = world.run(['ss', '-Hltn']);
  return ports.every((port) => new RegExp(`:${port} `).test(stdout));
}

function summaryOf({ state, verified, troubles }: FleetDevice): unknown {
  return [state, verified, troubles.map(({ code }) => code)];
}
