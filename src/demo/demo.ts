import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { abortable } from '../lib/async/abort.ts';
import { sleep, systemClock } from '../lib/async/clock.ts';
import { firstToEnd } from '../lib/async/scope.ts';
import { formatLogLine } from '../lib/log/format.ts';
import { newKeyPair } from './key-pair.ts';
import { listenOnLoopback } from './loopback.ts';
import { startRelay, type Relay } from './relay.ts';

export interface DemoDeps {
  /** The program and first arguments that are `tunneld`. */
  readonly tunneld: readonly [string, ...string[]];
  readonly colour: boolean;
  print(text: string): void;
  /** Aborted by Ctrl-C, which ends the demo. */
  readonly signal: AbortSignal;
}

/**
 * Runs a relay, a web service and the real daemon between them on this machine, and cuts the connection once. Resolves with false
 * where the tunnel did not come up, or not again.
 */
export async function runDemo(deps: DemoDeps): Promise<boolean> {
  const { print } = deps;
  const directory = await mkdtemp(join(tmpdir(), 'tunneld-demo-'));
  let daemon: ChildProcess | null = null;
  let relay: Relay | null = null;
  let web: Server | null = null;
  try {
    const clientKey = newKeyPair('tunneld demo');
    relay = await startRelay(Buffer.from(clientKey.public.split(' ')[1] ?? '', 'base64'));
    web = createServer((_request, response) => response.end('hello from behind the router\n'));
    const webPort = await listenOnLoopback(web);
    const port = await freePort();
    const file = await writeFiles(directory, { relay, port, webPort, privateKey: clientKey.private });
    const url = `http://127.0.0.1:${port}/`;

    print(`tunneld demo: everything runs on this machine, on loopback.
  an SSH relay, in place of your server   127.0.0.1:${relay.port}
  a web service, in place of your device  127.0.0.1:${webPort}

The configuration, ${file.path}:

${file.text.replaceAll(/^(?=.)/gm, '  ')}
The daemon, tunneld run --config ${file.path}:
`);
    daemon = startDaemon(deps, file.path);
    const exited = exitOf(daemon);
    const first = await answerOrExit(url, exited, deps.signal);
    if (first === null) {
      print('\nThe tunnel did not come up: see the log above.');
      return false;
    }
    print(`\nThe round trip works: the web service answered GET ${url} on the relay's side: "${first}"\n`);
    print('Now the connection is reset, as after a loss of power of the server:\n');
    const cutAt = performance.now();
    relay.cut();
    const again = await answerOrExit(url, exited, deps.signal);
    if (again === null) {
      print('\nThe tunnel did not come back: see the log above.');
      return false;
    }
    print(`
Healed: ${((performance.now() - cutAt) / 1000).toFixed(2)} s after the cut the web service answered again.

Try it yourself, in another terminal:
  curl ${url}
  ${deps.tunneld.join(' ')} status --config ${file.path}
Ctrl-C ends the demo.
`);
    await abortable(exited, deps.signal);
    return true;
  } catch (error) {
    if (deps.signal.aborted) return true;
    throw error;
  } finally {
    if (daemon !== null) await end(daemon);
    relay?.close();
    web?.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeFiles(
  directory: string,
  { relay, port, webPort, privateKey }: { relay: Relay; port: number; webPort: number; privateKey: string },
): Promise<{ readonly path: string; readonly text: string }> {
  const path = join(directory, 'config.yaml');
  const text = `tunnels:
  demo:
    host: 127.0.0.1
    port: ${relay.port}
    user: limited
    identityFile: ${join(directory, 'id_ed25519')}
    userKnownHostsFile: ${join(directory, 'known_hosts')}
    remoteForward: 127.0.0.1:${port}:127.0.0.1:${webPort}
network: { ping: [] }
control: { socket: ${join(directory, 'control.sock')} }
stateDirectory: ${directory}
`;
  await writeFile(join(directory, 'id_ed25519'), privateKey, { mode: 0o600 });
  await writeFile(join(directory, 'known_hosts'), `[127.0.0.1]:${relay.port} ${relay.hostKey}\n`);
  await writeFile(path, text);
  await chmod(directory, 0o700);
  return { path, text };
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createTcpServer();
  const port = await listenOnLoopback(server);
  await promisify(server.close.bind(server))();
  return port;
}

function startDaemon({ tunneld, colour, print }: DemoDeps, file: string): ChildProcess {
  const [program, ...first] = tunneld;
  const daemon = spawn(program, [...first, 'run', '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  createInterface({ input: daemon.stderr }).on('line', (line) => print(`  ${formatLogLine(line, colour)}`));
  return daemon;
}

/** Resolves with null when the daemon has ended, or could not start. */
async function exitOf(daemon: ChildProcess): Promise<null> {
  await once(daemon, 'exit').catch(() => {});
  return null;
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null || daemon.pid === undefined) return;
  const exited = exitOf(daemon);
  daemon.kill('SIGTERM');
  await exited;
}

/** The first answer through the tunnel; null where the daemon ends first, or none comes in time. */
function answerOrExit(url: string, exited: Promise<null>, signal: AbortSignal): Promise<string | null> {
  return firstToEnd(signal, [(own) => firstAnswer(url, own), (own) => abortable(exited, own)]);
}

/** Asks until the web service answers through the tunnel; null after ANSWER_MS. */
async function firstAnswer(url: string, signal: AbortSignal): Promise<string | null> {
  const deadline = systemClock.now() + ANSWER_MS;
  while (systemClock.now() < deadline) {
    const answer = await fetchText(url, signal);
    if (answer !== null) return answer.trim();
    await sleep(systemClock, 20, signal);
  }
  return null;
}

const ANSWER_MS = 15_000;

/** The body of the answer; null where there is none. */
function fetchText(url: string, signal: AbortSignal): Promise<string | null> {
  return fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(2000)]) })
    .then((response) => (response.ok ? response.text() : null))
    .catch(() => null);
}
