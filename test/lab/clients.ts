import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { descendantsOf, signalAll } from '../support/processes.ts';
import type { LabServer } from './machines.ts';
import type { LabNetwork } from './network.ts';

/** A way to keep a tunnel up, on the lab's device: its listener is `port` on the server. */
export interface LabClient {
  readonly name: ClientName;
  readonly port: number;
  /** With those of its further tunnels. */
  readonly ports: readonly number[];
  /** Where it keeps what it must not forget. */
  readonly stateDirectory: string;
  start(): void;
  /** Its processes. */
  pids(): readonly number[];
  /** Without a word to anybody. */
  kill(): Promise<void>;
  output(): string;
}

export type ClientName = 'tunneld' | 'autossh' | 'ssh loop';
export const CLIENT_NAMES: readonly ClientName[] = ['tunneld', 'autossh', 'ssh loop'];

export function createClient(
  name: ClientName,
  network: LabNetwork,
  server: LabServer,
  { tunnel = [], tunnels = 1 }: { readonly tunnel?: readonly string[]; readonly tunnels?: number } = {},
): LabClient {
  const port = 8080 + CLIENT_NAMES.indexOf(name);
  const dir = mkdtempSync(join(server.dir, 'client-'));
  const stateDirectory = join(dir, 'state');
  const command = COMMANDS[name](network, server, port, dir, stateDirectory, tunnel, tunnels);
  let child: ChildProcess | null = null;
  let output = '';
  const pids = () => (child?.pid === undefined ? [] : [child.pid, ...descendantsOf(child.pid)]);
  return {
    name,
    port,
    ports: [port, ...furtherPorts(tunnels)],
    stateDirectory,
    start: () => {
      child = network.spawn('device', command, { env: { ...process.env, HOME: dir, AUTOSSH_GATETIME: '0' } });
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-100_000)));
      }
    },
    pids,
    kill: async () => {
      if (child === null || child.exitCode !== null || child.signalCode !== null) return;
      const exited = new Promise((resolve) => child?.once('exit', resolve));
      signalAll(pids(), 'SIGKILL');
      await exited;
    },
    output: () => output,
  };
}

const COMMANDS: Readonly<Record<ClientName, (...args: CommandArgs) => readonly string[]>> = {
  tunneld: (network, server, port, dir, stateDirectory, tunnelOptions, tunnels) =>
    // Everything that matters here is left to its default.
    tunneldCommand(
      network,
      server,
      dir,
      stateDirectory,
      {
        lab: { port, options: tunnelOptions },
        ...Object.fromEntries(furtherPorts(tunnels).map((further, index) => [`lab${index + 2}`, { port: further }])),
      },
      'debug',
    ),
  autossh: (network, server, port) => ['autossh', '-M', '0', ...sshArguments(network, server, port)],
  'ssh loop': (network, server, port) => [
    'sh',
    '-c',
    'while :; do "$@"; sleep 15; done',
    'loop',
    'ssh',
    ...sshArguments(network, server, port),
  ],
};

/** What starts a daemon on the lab's device with these tunnels, by name; its configuration is written into `dir`. */
export function tunneldCommand(
  network: LabNetwork,
  server: LabServer,
  dir: string,
  stateDirectory: string,
  tunnels: Readonly<Record<string, { readonly port: number; readonly options?: readonly string[] }>>,
  level: 'debug' | 'info' = 'info',
): readonly string[] {
  const config = join(dir, 'config.yaml');
  mkdirSync(stateDirectory, { mode: 0o700 });
  const tunnel = ([name, { port, options = [] }]: [string, (typeof tunnels)[string]]) =>
    [`  ${name}:`, `remoteForward: ${port}:127.0.0.1:7000`, ...options].join('\n    ');
  writeFileSync(
    config,
    `defaults:
  host: ${network.serverAddress}
  user: ${server.user}
  identityFile: ${server.clientKey}
  userKnownHostsFile: ${server.knownHosts}
tunnels:
${Object.entries(tunnels).map(tunnel).join('\n')}
log: { level: ${level} }
control: { socket: ${join(dir, 'control.sock')} }
stateDirectory: ${stateDirectory}
`,
  );
  return [fileURLToPath(new URL('../../dist/cli.js', import.meta.url)), 'run', '--config', config];
}

type CommandArgs = [
  network: LabNetwork,
  server: LabServer,
  port: number,
  dir: string,
  stateDirectory: string,
  tunnelOptions: readonly string[],
  tunnels: number,
];

/** Of the tunnels after the first. */
function furtherPorts(tunnels: number): readonly number[] {
  return Array.from({ length: tunnels - 1 }, (_, index) => 9001 + index);
}

function sshArguments(network: LabNetwork, server: LabServer, port: number): string[] {
  const options = [
    'BatchMode=yes',
    'ExitOnForwardFailure=yes',
    'ServerAliveInterval=15',
    'ServerAliveCountMax=3',
    `UserKnownHostsFile=${server.knownHosts}`,
  ];
  const common = ['-F', 'none', '-N', '-i', server.clientKey, ...options.flatMap((option) => ['-o', option])];
  return [...common, '-R', `${port}:127.0.0.1:7000`, `${server.user}@${network.serverAddress}`];
}
