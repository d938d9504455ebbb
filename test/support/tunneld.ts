import { AsyncLocalStorage } from 'node:async_hooks';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { StatusDocument } from '../../src/status/document.ts';
import { ask } from '../../src/control/client.ts';
import { connects, PATIENCE_MS, tempDir, until } from './until.ts';

/** The built program. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Options of Node.js with which its first line has it started: with others it has no use of its code cache. */
export const NODE_FLAGS = nodeFlags(readFileSync(CLI, 'latin1'));

/** The built program, as Node.js is given it. */
export const PROGRAM = [...NODE_FLAGS, CLI];

function nodeFlags(program: string): readonly string[] {
  const [, flags] = /^#!\S+ -S node (.+)$/m.exec(program) ?? [];
  if (flags === undefined) throw new Error(`${CLI} has another first line than packaging/build.mjs writes`);
  return flags.split(' ');
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The same where every user can read it: a clone may lie in a directory that only root can enter. */
export async function readableCli(t: TestContext): Promise<string> {
  for (let here = dirname(CLI); here !== dirname(here); here = dirname(here)) {
    if ((statSync(here).mode & 0o005) === 0o005) continue;
    const dir = await tempDir(t);
    chmodSync(dir, 0o755);
    cpSync(dirname(CLI), join(dir, 'dist'), { recursive: true });
    return join(dir, 'dist/cli.js');
  }
  return CLI;
}

interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** A command that runs its arguments, as `unshare` does, in the place where it puts itself. */
  readonly wrapper?: readonly string[];
}

/** A wrapper: a network without others, whose ICMP errors would look like those of a firewall. */
export const OWN_NETWORK = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];

/**
 * Runs one command of the program to its end: in this process, since to start another costs a quarter of a second of a processor, unless it
 * is one that looks at its own process or ends with it, or that takes all of standard output for itself, or `options` are given.
 * builtTunneld() is for what the process shows.
 */
export async function tunneld(args: readonly string[], options?: CommandOptions): Promise<CommandResult> {
  const command = args.find((word) => !word.startsWith('-'));
  const takesOutput = command === 'init' && args.includes('--json');
  if (options !== undefined || command === undefined || takesOutput || OWN_PROCESS.includes(command))
    return await builtTunneld(args, options);
  const { main } = await import('../../src/program/main.ts');
  const said: Said = { stdout: '', stderr: '' };
  divertOutput();
  const code = await outputOf.run(said, () => main(args));
  return { code, ...said };
}

const OWN_PROCESS = ['run', 'install', 'uninstall', 'demo'];

interface Said {
  stdout: string;
  stderr: string;
}

/** What the command writes that runs there, whatever else is written in this process at that time. */
const outputOf = new AsyncLocalStorage<Said>();

function divertOutput(): void {
  if (isDiverted) return;
  isDiverted = true;
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = process[name];
    const write = stream.write.bind(stream) as (...args: readonly unknown[]) => boolean;
    stream.write = (text: string | Uint8Array, ...rest: readonly unknown[]) => {
      const said = outputOf.getStore();
      if (said === undefined) return write(text, ...rest);
      said[name] += String(text);
      const done = rest.find((one) => typeof one === 'function');
      if (done !== undefined) process.nextTick(done);
      return true;
    };
  }
}

let isDiverted = false;

/** Runs one command of the built program to its end. */
export function builtTunneld(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const [program = '', ...words] = [...(options.wrapper ?? []), process.execPath, ...PROGRAM, ...args];
    const child = spawn(program, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      timeout: options.timeoutMs ?? PATIENCE_MS,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** The built daemon as a child process, with a directory of its own for configuration, socket and state. */
export interface TestDaemon {
  readonly pid: number;
  readonly dir: string;
  readonly configFile: string;
  readonly socket: string;
  /** Everything on its standard error so far. What it has done may be seen before the line that says so. */
  stderr(): string;
  /** Waits until it has said so there. */
  untilSaid(words: RegExp): Promise<void>;
  writeConfig(yaml: string): void;
  status(): Promise<StatusDocument>;
  untilStatus(
    condition: (status: StatusDocument) => boolean,
    what: string,
    timeoutMs?: number,
  ): Promise<StatusDocument>;
  command(...args: string[]): Promise<CommandResult>;
  signal(name: NodeJS.Signals): void;
  /** The exit code, once it has ended. */
  readonly exited: Promise<number | null>;
}

export interface TestDaemonOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Do not wait until the control socket is there. */
  readonly mayFail?: boolean;
  /** Where the control socket is to be instead of the daemon's own directory. */
  readonly socket?: string;
  /** A command that runs its arguments, as `unshare` does, in the place where it puts itself. */
  readonly wrapper?: readonly string[];
  /** Options of Node.js in the place of those of the first line. */
  readonly nodeFlags?: readonly string[];
  /** Where the state directory is instead. */
  readonly state?: string;
  /** One that has ended, whose directory and files this one takes over as they are. */
  readonly after?: TestDaemon;
}

/** `yaml` is the configuration without control, network and stateDirectory, which are added (no ping leaves the machine). */
export async function startDaemonProcess(
  t: TestContext,
  yaml: string,
  options: TestDaemonOptions = {},
): Promise<TestDaemon> {
  const dir = options.after?.dir ?? (await tempDir(t));
  const configFile = join(dir, 'config.yaml');
  const socket = options.socket ?? join(dir, 'run', 'control.sock');
  const writeConfig = (text: string) =>
    writeFileSync(
      configFile,
      `${text}\n${/^network:/m.test(text) ? '' : 'network: { ping: [] }\n'}control: { socket: ${socket} }\nstateDirectory: ${options.state ?? dir}\n`,
    );
  if (options.after === undefined) writeConfig(yaml);
  const [program = process.execPath, ...before] = options.wrapper ?? [];
  const own = options.wrapper === undefined ? [] : [...before, process.execPath];
  const child = spawn(program, [...own, ...(options.nodeFlags ?? NODE_FLAGS), CLI, 'run', '--config', configFile], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // Its last lines may still be on their way when it ends; what it has started may hold its standard error for longer.
  const exited = new Promise<number | null>((resolve) => {
    child.once('close', resolve);
    child.once('exit', (code) => setTimeout(() => resolve(code), 1000).unref());
  });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) end(child);
    await exited;
  });
  const command = (...args: string[]) => tunneld([...args, '--config', configFile]);
  // As `tunneld status --json` does, which would take a quarter of a second of the processor each time.
  const status = async () => {
    const answer = await ask([socket], { command: 'status' });
    if (!answer.ok) throw new Error(answer.message);
    return answer.result;
  };
  if (options.mayFail !== true) {
    await until(async () => child.exitCode !== null || (await connects(socket)), {
      what: () => `the control socket; stderr: ${stderr}`,
    });
  }
  return {
    pid: child.pid!,
    dir,
    configFile,
    socket,
    stderr: () => stderr,
    untilSaid: async (words) =>
      void (await until(() => words.test(stderr), { what: () => `${words}; stderr: ${stderr}` })),
    writeConfig,
    status,
    untilStatus: async (condition, what, timeoutMs = PATIENCE_MS) => {
      let last: StatusDocument | null = null;
      await until(
        async () => {
          return condition((last = await status()));
        },
        { timeoutMs, what: () => `${what}; status: ${JSON.stringify(last)}; stderr: ${stderr}` },
      );
      return last!;
    },
    command,
    signal: (name) => child.kill(name),
    exited,
  };
}

/** At once, unless coverage is measured, which a process writes at its end. */
function end(child: ChildProcess): void {
  if (process.env['NODE_V8_COVERAGE'] !== undefined) {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 5000);
    child.once('exit', () => clearTimeout(late));
  } else child.kill('SIGKILL');
}

/** Open file descriptors of a process: what leaks shows here. */
export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
