import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { writeKeyPair } from './key-pair.ts';
import { descendantsOf, childrenOf, signalAll } from './processes.ts';
import { writeRsaKey } from './rsa-key.ts';
import { spawnSshd, sshdVersion, type SshdProcess } from './sshd-process.ts';
import { freePort, removeAtExit } from './until.ts';

export type HostKeyType = 'ed25519' | 'ecdsa' | 'rsa';

export interface SshdOptions {
  /** Listen on [::1] too. */
  readonly ipv6?: boolean;
  readonly hostKeyTypes?: readonly HostKeyType[];
  /** Options in front of the client's own key in authorized_keys, such as `restrict,permitlisten="localhost:8080"`. */
  readonly keyOptions?: string;
  /** Further lines of authorized_keys. */
  readonly authorizedKeys?: readonly string[];
  /** Exchanges keys in every way that it does by itself. Without, in no hybrid one: a fifth of what a test with a login took was that. */
  readonly everyKeyExchange?: boolean;
  /** Lines of sshd_config. They come first and so win over ours; whatever follows a `Match` goes to the end. */
  readonly config?: readonly string[];
}

export interface HostKey {
  readonly type: HostKeyType;
  /** The private key's file; the public one is beside it with `.pub`. */
  readonly file: string;
  /** `ssh-ed25519 AAAA...`, without a comment. */
  readonly publicKey: string;
}

/** A real OpenSSH server of its own, on loopback, for the user who runs the tests. */
export interface TestSshd {
  readonly port: number;
  readonly user: string;
  readonly dir: string;
  readonly hostKeys: readonly HostKey[];
  /** A private key (mode 0600) that may log in; the public one is beside it. */
  readonly clientKey: string;
  /** Read anew at every login. */
  readonly authorizedKeysFile: string;
  /** Lines for known_hosts, one for each host key; name and port differ from ours behind a relay. */
  knownHostsLine(host?: string, port?: number): string;
  /** Everything logged since the start, over restarts too. */
  log(): string;
  waitForLog(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** The process of each connection, before and after authentication. */
  sessions(): number[];
  /** Ends every connection the hard way; the listener stays. */
  killSessions(): void;
  /** Ends the listener the hard way; the connections stay, and are no sessions() any more. */
  killListener(): void;
  /** Stops listener and sessions in their tracks (the kernel still answers for them), and lets them go on. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL for listener and sessions. */
  kill(): Promise<void>;
  /** Starts it again on the same port, with the same keys; what still runs is ended first. */
  restart(): Promise<void>;
  /** Ends everything. The directory goes with the tests of this file: tunnels that end after it may write into it. */
  stop(): Promise<void>;
}

export async function startSshd(options: SshdOptions = {}): Promise<TestSshd> {
  const dir = mkdtempSync(join(tmpdir(), 'tunneld-sshd-'));
  removeAtExit(dir);
  const hostKeys = (options.hostKeyTypes ?? ['ed25519']).map((type) => makeHostKey(dir, type));
  const clientKey = join(dir, 'client_key');
  makeKey(clientKey, 'ed25519');
  const authorizedKeysFile = join(dir, 'authorized_keys');
  writeFileSync(authorizedKeysFile, authorizedKeys(clientKey, options), { mode: 0o600 });
  // Privilege separation changes root into this directory; the service manager would have made it.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });

  const configFile = join(dir, 'sshd_config');
  const listenOn = (port: number) =>
    writeFileSync(configFile, sshdConfig({ port, dir, options, hostKeys, authorizedKeysFile }));
  let log = '';
  const start = () => spawnSshd(configFile, (text) => (log += text));
  let { sshd, port } = await startOnFreePort(listenOn, start);

  return {
    port,
    user: userInfo().username,
    dir,
    hostKeys,
    clientKey,
    authorizedKeysFile,
    knownHostsLine: (host = '127.0.0.1', at = port) =>
      hostKeys.map((key) => `${at === 22 ? host : `[${host}]:${at}`} ${key.publicKey}\n`).join(''),
    log: () => log,
    waitForLog: (pattern, timeoutMs) => sshd.waitForLog(() => pattern.exec(log), `log ${pattern}`, timeoutMs),
    sessions: () => childrenOf(sshd.pid),
    killSessions: () => signalAll(descendantsOf(sshd.pid), 'SIGKILL'),
    killListener: () => signalAll([sshd.pid], 'SIGKILL'),
    freeze: () => signalAll([sshd.pid, ...descendantsOf(sshd.pid)], 'SIGSTOP'),
    thaw: () => signalAll([sshd.pid, ...descendantsOf(sshd.pid)], 'SIGCONT'),
    kill: () => sshd.end(),
    restart: async () => {
      await sshd.end();
      sshd = await start();
    },
    stop: () => sshd.end(),
  };
}

/** Between the choice of a port and its use somebody else may take it. */
async function startOnFreePort(
  listenOn: (port: number) => void,
  start: () => Promise<SshdProcess>,
): Promise<{ sshd: SshdProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    listenOn(port);
    try {
      return { sshd: await start(), port };
    } catch (error) {
      if (attempt === 5 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

interface ConfigParts {
  readonly port: number;
  readonly dir: string;
  readonly options: SshdOptions;
  readonly hostKeys: readonly HostKey[];
  readonly authorizedKeysFile: string;
}

function sshdConfig({ port, dir, options, hostKeys, authorizedKeysFile }: ConfigParts): string {
  const extra = options.config ?? [];
  const match = extra.findIndex((line) => /^\s*match\s/i.test(line));
  const [first, last] = match < 0 ? [extra, []] : [extra.slice(0, match), extra.slice(match)];
  return [
    ...first,
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    ...(options.ipv6 === true ? ['ListenAddress ::1'] : []),
    ...hostKeys.map((key) => `HostKey ${key.file}`),
    `AuthorizedKeysFile ${authorizedKeysFile}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin yes',
    'PrintMotd no',
    ...(options.everyKeyExchange === true ? [] : ['KexAlgorithms -sntrup761*,mlkem*']),
    // A shell that sshd starts runs the dotfiles of whoever runs the tests: none of them are here.
    `SetEnv HOME=${dir}`,
    'LogLevel VERBOSE',
    // Where many log in at once on a busy machine, none is dropped by chance: that would be an attempt more.
    'MaxStartups 100',
    // From this version on a client that fails to log in is shut out for a while, and all tests share one address.
    ...(sshdVersion() >= 9.8 ? ['PerSourcePenalties no'] : []),
    ...last,
    '',
  ].join('\n');
}

function authorizedKeys(clientKey: string, options: SshdOptions): string {
  const own = `${options.keyOptions ?? ''} ${publicKeyOf(clientKey)}`.trim();
  return [own, ...(options.authorizedKeys ?? []), ''].join('\n');
}

function makeHostKey(dir: string, type: HostKeyType): HostKey {
  const file = join(dir, `host_${type}`);
  makeKey(file, type);
  return { type, file, publicKey: publicKeyOf(file) };
}

/** Private keys have mode 0600. */
function makeKey(file: string, type: HostKeyType): void {
  if (type === 'ed25519') return writeKeyPair(file);
  if (type === 'rsa') return writeRsaKey(file);
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', '', '-f', file]);
}

function publicKeyOf(file: string): string {
  return readFileSync(`${file}.pub`, 'utf8').trim();
}
