import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { descendantsOf, signalAll } from '../support/processes.ts';
import { sshdPath } from '../support/sshd-process.ts';
import { until } from '../support/until.ts';
import { ask } from '../../src/control/client.ts';
import type { TunnelStatus } from '../../src/status/document.ts';

/**
 * A tunnel with two servers, each a machine of its own: how long until visitors come through the second when the first one's sshd, machine
 * or network is gone, and whether that many cycles of failover ever leave the tunnel without a server. Ends with 1 where a row is late.
 * `--only-cycles` leaves the outages out.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cycles: { type: 'string', default: '20' },
      after: { type: 'string', default: '20' },
      'only-cycles': { type: 'boolean', default: false },
    },
  });
  const late = values['only-cycles'] ? 0 : await outages(Number(values.after));
  const { without, over, back } = await cycle(Number(values.cycles));
  process.stdout.write(
    `${values.cycles} cycles of failover: ${without} moments without a server that is to have the tunnel; visitors through the second after ${spread(over)}, the first one alone again after ${spread(back)}\n`,
  );
  return late + without === 0 ? 0 : 1;
}

/** How many rows are late. */
async function outages(after: number): Promise<number> {
  const lines = [
    `| outage of the first server | all, s (wanted <= 1) | failover, s (wanted <= ${after} + 5) |`,
    '|---|---|---|',
  ];
  let late = 0;
  for (const [name, fault] of Object.entries(FAULTS)) {
    const all = await timed({ all: SERVERS }, fault);
    const failover = await timed({ failover: SERVERS, after, back: 5 }, fault);
    late += Number(all > 1) + Number(failover > after + 5);
    lines.push(`| ${name} | ${all.toFixed(2)} | ${failover.toFixed(1)} |`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  return late;
}

function spread(seconds: readonly number[]): string {
  const sorted = seconds.toSorted((a, b) => a - b);
  return `${(sorted[Math.floor(sorted.length / 2)] ?? 0).toFixed(1)} s (median; at most ${(sorted.at(-1) ?? 0).toFixed(1)} s)`;
}

const SERVERS = ['10.91.1.2', '10.91.2.2'];

interface Fault {
  break(lab: Lab): void;
  mend(lab: Lab): Promise<void>;
}

const FAULTS: Readonly<Record<string, Fault>> = {
  'its sshd is killed': { break: (lab) => lab.killSshd(), mend: (lab) => lab.startSshd('a') },
  'its machine is gone': {
    break: (lab) => lab.run('a', 'ip', 'link', 'set', 'e0', 'down'),
    mend: (lab) => Promise.resolve(lab.run('a', 'ip', 'link', 'set', 'e0', 'up')),
  },
  'its network is a black hole': {
    break: (lab) => lab.run('a', 'iptables', '-I', 'INPUT', '-i', 'e0', '-j', 'DROP'),
    mend: (lab) => Promise.resolve(lab.run('a', 'iptables', '-D', 'INPUT', '-i', 'e0', '-j', 'DROP')),
  },
};

/** Seconds from the fault to the first visitor at the second server. */
async function timed(servers: object, fault: Fault): Promise<number> {
  const lab = await createLab(servers);
  try {
    await until(() => lab.served('a', 0), { what: 'visitors at the first server' });
    if ('all' in servers) await until(() => lab.served('b', 0), { what: 'visitors at the second server' });
    // Any moment between two probes of the connection.
    await wait(Math.random() * 15_000);
    const began = Date.now();
    fault.break(lab);
    const first = await until(() => lab.served('b', began), {
      what: 'visitors at the second server',
      timeoutMs: 120_000,
    });
    return (first - began) / 1000;
  } finally {
    lab.destroy();
  }
}

const BACK_S = 1;

/**
 * A tunnel that loses its connection sooner than ten seconds after its login waits longer before each next one, up to a minute; and a
 * server that loses it soon after it got it back is given it later each time. A server that is up in between does neither. What is left
 * is the budget of new connections: a return may wait for its turn for up to nine seconds (test/net/pacing/pace.test.ts).
 */
const WELL_MS = 11_000;

interface Cycles {
  /** How often no server was to have the tunnel. */
  readonly without: number;
  /** Seconds from the end of the first server to the first visitor through the second. */
  readonly over: readonly number[];
  /** Seconds from the return of the first server until it had the tunnel alone. */
  readonly back: readonly number[];
}

/** The first server ends and returns this often. */
async function cycle(count: number): Promise<Cycles> {
  const lab = await createLab({ failover: SERVERS, after: 1, back: BACK_S });
  let without = 0;
  const over: number[] = [];
  const back: number[] = [];
  const looking = new AbortController();
  const look = (async () => {
    while (!looking.signal.aborted) {
      const rows = await lab.rows();
      if (rows.length > 0 && rows.every(({ servers }) => servers?.standby === true)) without += 1;
      await wait(100);
    }
  })();
  try {
    for (let turn = 0; turn < count; turn += 1) {
      const alone = async () =>
        (await lab.rows()).some((row) => row.name === 'backup@10.91.2.2' && row.servers?.standby === true);
      const began = Date.now();
      await until(async () => lab.served('a', began) > 0 && (await alone()), {
        what: `the first server alone, cycle ${turn}`,
        timeoutMs: 120_000,
      });
      if (turn > 0) back.push((Date.now() - began) / 1000);
      await wait(WELL_MS);
      const at = Date.now();
      lab.killSshd();
      const first = await until(() => lab.served('b', at), {
        what: `the second server, cycle ${turn}`,
        timeoutMs: 120_000,
      });
      over.push((first - at) / 1000);
      await lab.startSshd('a');
    }
  } finally {
    looking.abort();
    await look;
    lab.destroy();
  }
  return { without, over, back };
}

type Machine = 'device' | 'a' | 'b';

interface Lab {
  run(machine: Machine, ...command: readonly string[]): void;
  startSshd(machine: 'a' | 'b'): Promise<void>;
  killSshd(): void;
  /** The time of the first visitor that was served at this server since then, or 0. */
  served(machine: 'a' | 'b', since: number): number;
  rows(): Promise<readonly TunnelStatus[]>;
  destroy(): void;
}

async function createLab(servers: object): Promise<Lab> {
  const dir = mkdtempSync(join(tmpdir(), 'tunneld-lab-'));
  const cable = (server: 'a' | 'b', net: string) =>
    `ip link add d-${server} netns device type veth peer name e0 netns ${server}
     ip -n device addr add ${net}.1/24 dev d-${server}; ip -n device link set d-${server} up
     ip -n ${server} addr add ${net}.2/24 dev e0; ip -n ${server} link set e0 up`;
  const script = `set -e; mkdir -p /run/netns; mount -t tmpfs none /run/netns
    for one in device a b; do ip netns add $one; ip -n $one link set lo up; done
    ${cable('a', '10.91.1')}
    ${cable('b', '10.91.2')}
    echo ready; exec cat`;
  const keeper = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let said = '';
  keeper.stdout.on('data', (chunk) => (said += String(chunk)));
  await until(() => said.includes('ready'), { what: 'the machines' });
  const on = (machine: Machine, command: readonly string[]) => [
    '--mount',
    '--target',
    String(keeper.pid),
    '--',
    'ip',
    'netns',
    'exec',
    machine,
    ...command,
  ];
  const children: ChildProcess[] = [];
  const start = (machine: Machine, ...command: readonly string[]) => {
    const child = spawn('nsenter', on(machine, ['setpriv', '--pdeathsig', 'KILL', ...command]), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.resume();
    child.stderr.resume();
    children.push(child);
    return child;
  };
  for (const key of ['host', 'client'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, key)]);
  const key = execFileSync('cat', [join(dir, 'host.pub')], { encoding: 'utf8' });
  writeFileSync(join(dir, 'known'), SERVERS.map((host) => `${host} ${key}`).join(''));
  writeFileSync(
    join(dir, 'sshd'),
    `Port 22\nHostKey ${dir}/host\nPidFile none\nStrictModes no\nPermitRootLogin yes\nAuthorizedKeysFile ${dir}/client.pub\n`,
  );
  execFileSync('mkdir', ['-p', '/run/sshd']);
  let sshd: ChildProcess | null = null;
  const startSshd = async (machine: 'a' | 'b') => {
    const child = start(machine, sshdPath(), '-D', '-e', '-f', join(dir, 'sshd'));
    let log = '';
    child.stderr?.on('data', (chunk) => (log += String(chunk)));
    if (machine === 'a') sshd = child;
    await until(() => log.includes('Server listening'), { what: () => `sshd: ${log}` });
  };
  await Promise.all([startSshd('a'), startSshd('b')]);
  start(
    'device',
    process.execPath,
    '-e',
    "require('net').createServer((s) => { s.on('error', () => {}); s.end('hi'); }).listen(7000, '127.0.0.1')",
  );
  const tunnel = {
    servers,
    user: 'root',
    identityFile: join(dir, 'client'),
    userKnownHostsFile: join(dir, 'known'),
    sshConfig: 'none',
    remoteForward: '8080:127.0.0.1:7000',
  };
  writeFileSync(
    join(dir, 'config.yaml'),
    JSON.stringify({
      tunnels: { backup: tunnel },
      control: { socket: join(dir, 'control.sock') },
      stateDirectory: join(dir, 'state'),
    }),
  );
  const cli = join(import.meta.dirname, '../../dist/cli.js');
  start('device', process.execPath, cli, 'run', '--config', join(dir, 'config.yaml'));
  const visits = { a: visitors(start, 'a'), b: visitors(start, 'b') };
  return {
    run: (machine, ...command) => execFileSync('nsenter', on(machine, command), { stdio: 'pipe' }),
    startSshd,
    killSshd: () => {
      if (sshd?.pid !== undefined) signalAll([sshd.pid, ...descendantsOf(sshd.pid)], 'SIGKILL');
    },
    served: (machine, since) => visits[machine].find((time) => time > since) ?? 0,
    rows: async () => {
      const answer = await ask([join(dir, 'control.sock')], { command: 'status' }).catch(() => null);
      return answer?.ok === true ? answer.result.tunnels : [];
    },
    destroy: () => {
      for (const { pid } of children) if (pid !== undefined) signalAll([pid, ...descendantsOf(pid)], 'SIGKILL');
      keeper.kill('SIGKILL');
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A visitor every 50 ms, each with half a second: the times at which one was served. */
function visitors(
  start: (machine: Machine, ...command: readonly string[]) => ChildProcess,
  machine: 'a' | 'b',
): readonly number[] {
  const times: number[] = [];
  const program = `setInterval(() => {
    const began = Date.now();
    const s = require('net').connect(8080, '127.0.0.1').on('error', () => {}).setTimeout(500, () => s.destroy());
    s.once('data', () => { console.log(began); s.destroy(); });
  }, 50)`;
  start(machine, process.execPath, '-e', program).stdout?.on('data', (chunk) => {
    for (const line of String(chunk).trim().split('\n')) times.push(Number(line));
  });
  return times;
}

process.exitCode = await main();
