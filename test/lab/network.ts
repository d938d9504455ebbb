import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { until } from '../support/until.ts';

/**
 * Three machines in network namespaces of their own: a device, a router between, and a server. Needs root. However this process ends, nothing
 * of them is left: their names are known only in a mount namespace that ends with it, and so do the programs on them.
 */
export interface LabNetwork {
  readonly serverAddress: string;
  /** Starts a program on one of the machines. */
  spawn(machine: Machine, command: readonly string[], options?: { readonly env?: NodeJS.ProcessEnv }): ChildProcess;
  exec(machine: Machine, ...command: readonly string[]): string;
  /** The router drops everything, and says nothing. */
  losePath(): void;
  restorePath(): void;
  /** The device's kernel forgets all its connections, as after a loss of power. Nothing of it may run any more. */
  replaceDevice(): void;
  /** The device gets another address, as in another Wi-Fi. */
  changeAddress(): void;
  /** Gives the device so many further addresses, at most 60,000. */
  addAddresses(count: number): readonly string[];
  /** From the device to the server's sshd goes no more than this; what is above is lost, as on a narrow line. */
  limitUplink(kibibytesPerSecond: number): void;
  /** Whether what sshd says is lost on its way to the device, bare acknowledgements apart. */
  muteServer(mute: boolean): void;
  /** The router drops what the device sends from this port, as strict middleboxes do; null for no port. */
  swallow(port: number | null): void;
  setLink(up: boolean): void;
  /** The server's firewall limits new connections to sshd: as `ufw limit` does, or to four a minute, dropping the others. */
  limitConnections(how: 'ufw' | 'hashlimit'): void;
  /** The router loses packets larger than this from one of the machines, and says nothing: an MTU black hole. */
  loseLarge(from: 'device' | 'server', bytes: number): void;
  /** How many packets that limit has turned away. */
  turnedAway(): number;
  destroy(): Promise<void>;
}

type Machine = 'device' | 'router' | 'server';

export async function createNetwork({ nat = false }: { readonly nat?: boolean } = {}): Promise<LabNetwork> {
  const keeper = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', keeperScript(nat)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [keeper.stdout, keeper.stderr]) stream.on('data', (text) => (said += String(text)));
  const gone = new Promise<void>((resolve) => keeper.once('close', () => resolve()));
  await until(() => said.includes('ready') || keeper.exitCode !== null, { what: 'the machines' });
  if (!said.includes('ready')) throw new Error(`there are no machines: ${said}`);

  const inside = ['--mount', '--target', String(keeper.pid), '--'];
  const on = (machine: Machine, command: readonly string[]) => [...inside, 'ip', 'netns', 'exec', machine, ...command];
  const exec = (machine: Machine, ...command: readonly string[]) =>
    execFileSync('nsenter', on(machine, command), { encoding: 'utf8', stdio: 'pipe' });
  let swallowed: number | null = null;
  let deviceAddress = `${DEVICE_NET}.2`;
  const defaultRoute = () => exec('device', 'ip', 'route', 'replace', 'default', 'via', `${DEVICE_NET}.1`);

  return {
    serverAddress: `${SERVER_NET}.2`,
    exec,
    spawn: (machine, command, { env = process.env } = {}) =>
      spawn('nsenter', on(machine, ['setpriv', '--pdeathsig', 'KILL', ...command]), {
        stdio: ['ignore', 'pipe', 'pipe'],
        env,
      }),
    losePath: () => exec('router', 'iptables', '-I', 'FORWARD', '-j', 'DROP'),
    restorePath: () => exec('router', 'iptables', '-D', 'FORWARD', '-j', 'DROP'),
    replaceDevice: () => {
      // The old namespace lives on for as long as its kernel tries to say goodbye on connections; its cable does not.
      const script = [
        'ip -n router link delete d1',
        'ip netns delete device',
        added('device'),
        cable('device', deviceAddress),
      ];
      execFileSync('nsenter', [...inside, 'sh', '-ec', script.join('\n')], { stdio: 'pipe' });
    },
    changeAddress: () => {
      const next = `${DEVICE_NET}.${deviceAddress.endsWith('.2') ? 3 : 2}`;
      exec('device', 'ip', 'addr', 'del', `${deviceAddress}/24`, 'dev', 'd0');
      exec('device', 'ip', 'addr', 'add', `${next}/24`, 'dev', 'd0');
      defaultRoute();
      deviceAddress = next;
    },
    addAddresses: (count) => {
      const more = Array.from({ length: count }, (_, index) => `10.78.${index >> 8}.${index & 255}`);
      const lines = more.map((one) => `addr add ${one}/32 dev lo`).join('\n');
      const batch = [...inside, 'ip', '-n', 'device', '-batch', '-'];
      execFileSync('nsenter', batch, { input: lines, stdio: ['pipe', 'pipe', 'inherit'] });
      exec('router', 'ip', 'route', 'add', '10.78.0.0/16', 'via', deviceAddress);
      return more;
    },
    limitUplink: (rate) => {
      const limit = [
        '--hashlimit-name',
        'up',
        '--hashlimit-above',
        `${rate}kb/s`,
        '--hashlimit-burst',
        `${rate * 2}kb`,
      ];
      exec(
        'router',
        'iptables',
        '-I',
        'FORWARD',
        '-p',
        'tcp',
        '--dport',
        '22',
        '-m',
        'hashlimit',
        ...limit,
        '-j',
        'DROP',
      );
    },
    // 80 bytes are the largest headers of IP and TCP; no packet of SSH's adds as few as five.
    muteServer: (mute) => {
      const words = ['-p', 'tcp', '--sport', '22', '-m', 'length', '--length', '85:65535', '-j', 'DROP'];
      exec('router', 'iptables', mute ? '-I' : '-D', 'FORWARD', ...words);
    },
    swallow: (port) => {
      if (swallowed !== null)
        exec('router', 'iptables', '-D', 'FORWARD', '-p', 'tcp', '--sport', `${swallowed}`, '-j', 'DROP');
      if (port !== null) exec('router', 'iptables', '-I', 'FORWARD', '-p', 'tcp', '--sport', `${port}`, '-j', 'DROP');
      swallowed = port;
    },
    setLink: (up) => {
      exec('device', 'ip', 'link', 'set', 'd0', up ? 'up' : 'down');
      if (up) defaultRoute();
    },
    limitConnections: (how) => {
      const fresh = ['-p', 'tcp', '--dport', '22', '-m', 'conntrack', '--ctstate', 'NEW'];
      const input = (...rule: string[]) => exec('server', 'iptables', '-A', 'INPUT', ...fresh, ...rule);
      exec('server', 'iptables', '-N', 'limit');
      if (how === 'ufw') {
        // As it stands in /etc/ufw/user.rules after `ufw limit ssh`.
        input('-m', 'recent', '--set');
        input('-m', 'recent', '--update', '--seconds', '30', '--hitcount', '6', '-j', 'limit');
        exec('server', 'iptables', '-A', 'limit', '-j', 'REJECT');
      } else {
        const above = ['--hashlimit-name', 'ssh', '--hashlimit-mode', 'srcip', '--hashlimit-above', '4/minute'];
        input('-m', 'hashlimit', ...above, '--hashlimit-burst', '4', '-j', 'limit');
        exec('server', 'iptables', '-A', 'limit', '-j', 'DROP');
      }
    },
    loseLarge: (from, bytes) => {
      const inward = from === 'device' ? 'd1' : 's1';
      exec(
        'router',
        'iptables',
        '-I',
        'FORWARD',
        '-i',
        inward,
        '-m',
        'length',
        '--length',
        `${bytes}:65535`,
        '-j',
        'DROP',
      );
    },
    turnedAway: () => Number(/\[(\d+):\d+\] -A limit /.exec(exec('server', 'iptables-save', '-c'))?.[1] ?? 0),
    destroy: () => {
      keeper.stdin.end();
      return gone;
    },
  };
}

/** Builds the machines, and keeps them until its standard input ends. */
function keeperScript(nat: boolean): string {
  return `set -e
mkdir -p /run/netns
mount -t tmpfs none /run/netns
${MACHINES.map(added).join('\n')}
${cable('device', `${DEVICE_NET}.2`)}
${cable('server', `${SERVER_NET}.2`)}
ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
${nat ? 'ip netns exec router iptables -t nat -A POSTROUTING -o s1 -j MASQUERADE' : ''}
echo ready
read _ || true`;
}

function added(machine: Machine): string {
  return `ip netns add ${machine}\nip -n ${machine} link set lo up`;
}

/** From a machine to the router, which has the first address of its network. */
function cable(machine: 'device' | 'server', address: string): string {
  const [near, far] = [`${machine[0]}0`, `${machine[0]}1`];
  const router = address.replace(/\d+$/, '1');
  return `ip link add ${near} netns ${machine} type veth peer name ${far} netns router
ip -n router addr add ${router}/24 dev ${far}
ip -n router link set ${far} up
ip -n ${machine} addr add ${address}/24 dev ${near}
ip -n ${machine} link set ${near} up
ip -n ${machine} route add default via ${router}`;
}

const MACHINES: readonly Machine[] = ['device', 'router', 'server'];
const DEVICE_NET = '10.77.1';
const SERVER_NET = '10.77.2';
