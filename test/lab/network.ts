import { execFileSync, spawn, type ChildProcess } from 'node:child_process';

/** Three machines in network namespaces of their own: a device, a router between, and a server. Needs root. */
export interface LabNetwork {
  readonly serverAddress: string;
  readonly deviceInterface: string;
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
  destroy(): void;
}

type Machine = 'device' | 'router' | 'server';

export function createNetwork({ nat = false }: { readonly nat?: boolean } = {}): LabNetwork {
  const id = `tl${process.pid.toString(36)}${(counter += 1).toString(36)}`;
  const name = (machine: Machine) => `${id}-${machine}`;
  const exec = (machine: Machine, ...command: readonly string[]) =>
    execFileSync('ip', ['netns', 'exec', name(machine), ...command], { encoding: 'utf8', stdio: 'pipe' });
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });
  let swallowed: number | null = null;
  let deviceAddress = `${DEVICE_NET}.2`;

  const addMachine = (machine: Machine) => {
    ip('netns', 'add', name(machine));
    exec(machine, 'ip', 'link', 'set', 'lo', 'up');
  };
  const cable = (machine: Machine, address: string, routerAddress: string) => {
    const [near, far] = [`${id}${machine[0]}0`, `${id}${machine[0]}1`];
    ip('link', 'add', near, 'netns', name(machine), 'type', 'veth', 'peer', 'name', far, 'netns', name('router'));
    exec('router', 'ip', 'addr', 'add', `${routerAddress}/24`, 'dev', far);
    exec('router', 'ip', 'link', 'set', far, 'up');
    exec(machine, 'ip', 'addr', 'add', `${address}/24`, 'dev', near);
    exec(machine, 'ip', 'link', 'set', near, 'up');
    exec(machine, 'ip', 'route', 'add', 'default', 'via', routerAddress);
  };
  const deviceInterface = `${id}d0`;
  const defaultRoute = () => exec('device', 'ip', 'route', 'replace', 'default', 'via', `${DEVICE_NET}.1`);

  for (const machine of MACHINES) addMachine(machine);
  cable('device', deviceAddress, `${DEVICE_NET}.1`);
  cable('server', `${SERVER_NET}.2`, `${SERVER_NET}.1`);
  exec('router', 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
  if (nat) exec('router', 'iptables', '-t', 'nat', '-A', 'POSTROUTING', '-o', `${id}s1`, '-j', 'MASQUERADE');

  return {
    serverAddress: `${SERVER_NET}.2`,
    deviceInterface,
    exec,
    spawn: (machine, command, { env = process.env } = {}) =>
      spawn('ip', ['netns', 'exec', name(machine), ...command], { stdio: ['ignore', 'pipe', 'pipe'], env }),
    losePath: () => exec('router', 'iptables', '-I', 'FORWARD', '-j', 'DROP'),
    restorePath: () => exec('router', 'iptables', '-D', 'FORWARD', '-j', 'DROP'),
    replaceDevice: () => {
      // The old namespace lives on for as long as its kernel tries to say goodbye on connections; its cable does not.
      exec('router', 'ip', 'link', 'delete', `${id}d1`);
      ip('netns', 'delete', name('device'));
      addMachine('device');
      cable('device', deviceAddress, `${DEVICE_NET}.1`);
    },
    changeAddress: () => {
      const next = `${DEVICE_NET}.${deviceAddress.endsWith('.2') ? 3 : 2}`;
      exec('device', 'ip', 'addr', 'del', `${deviceAddress}/24`, 'dev', deviceInterface);
      exec('device', 'ip', 'addr', 'add', `${next}/24`, 'dev', deviceInterface);
      defaultRoute();
      deviceAddress = next;
    },
    addAddresses: (count) => {
      const more = Array.from({ length: count }, (_, index) => `10.78.${index >> 8}.${index & 255}`);
      const lines = more.map((one) => `addr add ${one}/32 dev lo`).join('\n');
      execFileSync('ip', ['-n', name('device'), '-batch', '-'], { input: lines, stdio: ['pipe', 'pipe', 'inherit'] });
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
      exec('device', 'ip', 'link', 'set', deviceInterface, up ? 'up' : 'down');
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
      const inward = from === 'device' ? `${id}d1` : `${id}s1`;
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
      for (const machine of MACHINES) ip('netns', 'delete', name(machine));
    },
  };
}

const MACHINES: readonly Machine[] = ['device', 'router', 'server'];
const DEVICE_NET = '10.77.1';
const SERVER_NET = '10.77.2';
let counter = 0;
