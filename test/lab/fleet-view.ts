import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { rawPublicKey } from '../../src/connection/ssh/raw-key.ts';
import type { FleetServer } from '../../src/fleet/document.ts';
import { startServerWorld } from '../support/server-world.ts';
import { PROGRAM } from '../support/tunneld.ts';
import { until } from '../support/until.ts';
import { descendantsOf } from '../support/processes.ts';
import { createProcessorAccount } from './processor.ts';

/**
 * How long `tunneld fleet` takes for a thousand devices that are all up, and what it costs: the command, the server, and the devices, which
 * elsewhere have processors of their own. One program stands for the sessions of the server's sshd and the devices behind them, and as
 * many processes as a thousand sessions have do nothing.
 */
test('shows a thousand devices, all up and verified, in less than two seconds', async (t) => {
  const world = await startServerWorld(t, {
    config: 'AuthorizedKeysFile /etc/ssh/admins\nPermitRootLogin yes\nMaxStartups 100\n',
  });
  const etc = (path: string) => join(world.dir, 'etc', path);
  const own = readFileSync(`${world.key}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
  writeFileSync(etc('ssh/admins'), `${own}\n`);
  const hostKey = join(world.dir, 'device-key');
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  writeFileSync(hostKey, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o644 });
  const raw = rawPublicKey(publicKey);
  const blob = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), raw]).toString('base64');
  const print = world.run(['ssh-keygen', '-lf', '-'], `ssh-ed25519 ${blob}\n`).stdout.split(' ')[1];
  mkdirSync(etc('ssh/authorized_keys.d'));
  for (let port = FIRST; port < FIRST + DEVICES; port += 1) {
    appendFileSync(etc('passwd'), `pi${port}:x:${UID}:65534::/nonexistent:/usr/sbin/nologin\n`);
    const options = `restrict,port-forwarding,permitlisten="localhost:${port}",command="false"`;
    const comment = `tunneld relay of pi${port} host-key:${port}=${print}`;
    writeFileSync(etc(`ssh/authorized_keys.d/pi${port}`), `${options} ${own} ${comment}\n`);
  }
  const ssh = join(world.dir, 'home/.ssh');
  mkdirSync(ssh, { recursive: true });
  writeFileSync(join(ssh, 'id_ed25519'), readFileSync(world.key), { mode: 0o600 });
  writeFileSync(join(ssh, 'known_hosts'), readFileSync(join(world.dir, 'known_hosts')));

  const devices = join(import.meta.dirname, 'ssh-devices.ts');
  const program = [
    process.execPath,
    '--import',
    import.meta.resolve('tsx'),
    devices,
    String(FIRST),
    String(DEVICES),
    hostKey,
  ];
  const idle = world.spawn(['sh', '-c', `for i in $(seq ${2 * DEVICES}); do sleep 100000 & done; wait`], {
    stdio: 'ignore',
  });
  const fleetOfDevices = world.spawn(
    ['setpriv', `--reuid=${UID}`, '--clear-groups', 'env', 'TSX_DISABLE_CACHE=1', ...program],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  t.after(() => {
    idle.kill('SIGKILL');
    fleetOfDevices.kill('SIGKILL');
  });
  await until(() => world.run(['ss', '-Hltn']).stdout.split('\n').length > DEVICES, {
    what: 'the devices',
    timeoutMs: 60_000,
  });

  const sshd = createProcessorAccount('sshd');
  t.after(async () => {
    await until(() => descendantsOf(process.pid).every((pid) => nameOf(pid) !== 'sshd'), { what: 'the end of sshd' });
    sshd.destroy();
  });
  sshd.add(Math.min(...descendantsOf(process.pid).filter((pid) => nameOf(pid) === 'sshd')));

  const seconds: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    const before = [sshd.seconds(), secondsOf(fleetOfDevices.pid!)] as const;
    const started = performance.now();
    const home = join(world.dir, 'home');
    const environment = ['env', `HOME=${home}`, 'SUDO_USER=', 'SSH_AUTH_SOCK='];
    const command = [...environment, process.execPath, ...PROGRAM, 'fleet', 'root@server', '--json'];
    const { stdout, stderr } = world.run(['sh', '-c', '"$@"; times >&2', 'timed', ...command]);
    seconds.push((performance.now() - started) / 1000);
    const [{ devices: seen }] = (JSON.parse(stdout) as { servers: FleetServer[] }).servers as [FleetServer];
    const verified = seen.filter((device) => device.state === 'up' && device.verified === 'yes').length;
    const spent = stderr.trim().split('\n').at(-1);
    t.diagnostic(
      `${verified} verified in ${seconds.at(-1)!.toFixed(2)} s; processor: the command ${spent}, sshd and the script ${(sshd.seconds() - before[0]).toFixed(2)} s, the devices ${(secondsOf(fleetOfDevices.pid!) - before[1]).toFixed(2)} s`,
    );
    assert.equal(verified, DEVICES);
  }
  const median = seconds.toSorted((a, b) => a - b)[Math.floor(RUNS / 2)]!;
  t.diagnostic(`median ${median.toFixed(2)} s`);
  assert.ok(median < 2, `${median} s`);
});

const DEVICES = 1000;
const FIRST = 20_000;
const UID = 70_000;
const RUNS = 5;

/** The processor time of a program that nsenter has started, to 10 ms (proc(5)). */
function secondsOf(nsenter: number): number {
  const ticks = descendantsOf(nsenter).map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, one) => sum + one, 0) / 100;
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
