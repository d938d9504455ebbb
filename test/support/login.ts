import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import ssh2, { type AuthContext, type CompressionAlgorithm } from '#ssh2';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { hearSignatures } from '../../src/connection/auth/signature-algorithms.ts';
import { Authenticator } from '../../src/connection/auth/auth.ts';
import { describeAuth, type AuthReport } from '../../src/connection/auth/auth-report.ts';
import { loadCredentials } from '../../src/connection/auth/credentials.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { writeKeyPair } from './key-pair.ts';
import { listen } from './listen.ts';
import { writeRsaKey } from './rsa-key.ts';
import { plainSpec } from './tunnel.ts';
import { connects, until } from './until.ts';

/** A spec that offers nothing, for one server on loopback. */
export function specFor(changes: Partial<TunnelSpec>): TunnelSpec {
  return {
    ...plainSpec(),
    user: 'limited',
    sourcePort: 'any',
    identityFiles: [],
    identityFilesConfigured: true,
    userKnownHostsFiles: [],
    globalKnownHostsFiles: [],
    updateHostKeys: false,
    serverAliveIntervalMs: 0,
    verify: 'off',
    ...changes,
  };
}

export interface LoginResult {
  readonly ok: boolean;
  /** Everything that ssh2 complained about, in order. */
  readonly errors: readonly string[];
  readonly report: AuthReport;
  readonly message: string;
}

export interface LoginOptions {
  readonly clock?: Clock;
  readonly trusted?: boolean;
  readonly compress?: CompressionAlgorithm;
  /** Called with the client's socket as soon as there is one. */
  readonly onSocket?: (socket: ReturnType<typeof connect>) => void;
}

/** Loads what the spec names and tries to log in with it, over a real connection. */
export async function logIn(spec: TunnelSpec, options: LoginOptions = {}): Promise<LoginResult> {
  const credentials = await loadCredentials(spec, createIdentityCache(), options.clock ?? systemClock);
  const authenticator = new Authenticator(spec, credentials, () => options.trusted ?? true);
  const socket = connect(spec.port, spec.host);
  options.onSocket?.(socket);
  const client = new ssh2.Client();
  const errors: string[] = [];
  client.on('error', (error: Error) => errors.push(error.message));
  const ok = await new Promise<boolean>((resolve) => {
    client.once('ready', () => resolve(true));
    client.once('close', () => resolve(false));
    client.connect({
      sock: socket,
      username: spec.user,
      authHandler: authenticator.handler,
      readyTimeout: 0,
      hostVerifier: () => true,
      ...(options.compress && { algorithms: { compress: [options.compress] } }),
    });
    hearSignatures(client, authenticator.hearSignatures);
  });
  socket.destroy();
  const report = authenticator.report();
  return { ok, errors, report, message: describeAuth(spec, report, Date.now()) };
}

/** What ssh-keygen makes: -t and -b. */
export const KEY_KINDS = [
  ['ed25519', '256'],
  ['ecdsa', '256'],
  ['ecdsa', '384'],
  ['ecdsa', '521'],
  ['rsa', '2048'],
] as const;

/** Makes a key as the real ssh-keygen does with these arguments; the answer is its path. */
export function makeKey(dir: string, name: string, ...args: string[]): string {
  const path = join(dir, name);
  if (args.join(' ') === '-t ed25519') {
    writeKeyPair(path, `comment of ${name}`);
    return path;
  }
  if (args.join(' ') === '-t rsa -b 2048') {
    writeRsaKey(path, `comment of ${name}`);
    return path;
  }
  const passphrase = args.includes('-N') ? [] : ['-N', ''];
  // One round of key derivation: its cost is not what is tested.
  execFileSync('ssh-keygen', ['-q', '-f', path, '-a', '1', '-C', `comment of ${name}`, ...passphrase, ...args]);
  return path;
}

/** `ssh-ed25519 AAAA… comment`, from the .pub file. */
export function publicLine(path: string): string {
  return readFileSync(`${path}.pub`, 'utf8').trim();
}

/** The fingerprint as ssh-keygen sees it. */
export function fingerprintOf(path: string): string {
  return execFileSync('ssh-keygen', ['-lf', `${path}.pub`], { encoding: 'utf8' }).split(' ')[1] ?? '';
}

/** A real ssh-agent that holds these keys; the answer is its socket. */
export async function startAgent(t: TestContext, dir: string, keys: readonly string[]): Promise<string> {
  const path = join(dir, 'agent.sock');
  const agent = spawn('ssh-agent', ['-D', '-a', path], { stdio: 'ignore' });
  t.after(async () => {
    const gone = once(agent, 'exit');
    agent.kill();
    await gone;
  });
  await until(() => connects(path), { what: 'the ssh-agent' });
  if (keys.length > 0) execFileSync('ssh-add', ['-q', ...keys], { env: { ...process.env, SSH_AUTH_SOCK: path } });
  return path;
}

/** An SSH server in this process, for the methods for which sshd would need PAM; the answer is its port. */
export async function startServer(
  t: TestContext,
  hostKey: string,
  onAuth: (context: AuthContext) => void,
  compress: CompressionAlgorithm = 'none',
): Promise<number> {
  const server = new ssh2.Server(
    { hostKeys: [readFileSync(hostKey)], algorithms: { compress: [compress] } },
    (client) => {
      client.on('authentication', onAuth);
      client.on('error', () => {}); // the client hangs up without a goodbye
    },
  );
  const port = await listen(server);
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return port;
}

/** A clock in whose eyes five seconds are half a one: for an agent that does not answer, and not for one that does. */
export const hastyClock: Clock = { ...systemClock, timer: (ms, fn) => systemClock.timer(ms / 10, fn) };
