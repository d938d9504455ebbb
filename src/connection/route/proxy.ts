import type { Socket } from 'node:net';
import { abortable } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import { registerSecret } from '../../lib/secrets.ts';
import { errorText, printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';
import { readSecretFile } from '../auth/secret-file.ts';
import { formatAddress } from '../../model/endpoint.ts';
import type { ProxyEntry } from '../../model/spec.ts';
import { deadline } from '../../lib/async/deadline.ts';
import { firstToEnd } from '../../lib/async/scope.ts';

/**
 * Loads the client of a proxy, for a tunnel that has one: 1.5 MiB that other tunnels do not need. To be called before
 * dialling: an upgrade may replace our files while a tunnel waits for its network.
 */
export async function loadProxy({ type }: ProxyEntry): Promise<void> {
  await (type === 'http' ? import('node:http') : import('./socks-client.ts'));
}

interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Asks a proxy to lead a fresh connection on to the server, whose name the proxy resolves: HTTP CONNECT with Basic
 * authentication (RFC 9110 section 9.3.6, RFC 7617) or SOCKS 5 with a user name and password (RFC 1928, RFC 1929).
 * Rejects with proxy-failed, or key-unreadable for the password; the connection is then closed.
 */
export async function passProxy(
  socket: Socket,
  proxy: ProxyEntry,
  to: ServerAddress,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const where = `proxy ${formatAddress(proxy)}`;
  const fail = (text: string, cause?: unknown) =>
    new TunnelFailure('proxy-failed', `${where} ${text}`, cause === undefined ? {} : { cause });
  const late = () => fail(`did not answer within ${Math.round(timeoutMs / 1000)} s`);
  const closed = () =>
    new Promise<never>((_, reject) => {
      socket.once('error', (error) => reject(fail(errorText(error), error)));
      socket.once('close', () => reject(fail('closed the connection')));
    });
  const negotiate = async () => {
    const password = proxy.passwordFile === null ? null : await readSecretFile(proxy.passwordFile, 'proxyPasswordFile');
    if (password !== null) registerSecret(password, proxy.user ?? '');
    await (proxy.type === 'http' ? connectHttp : connectSocks)(socket, proxy, password, to, fail);
  };
  const pass = (own: AbortSignal) =>
    firstToEnd<void>(own, [(over) => abortable(closed(), over), (over) => abortable(negotiate(), over)]);
  try {
    await deadline(clock, timeoutMs, late, pass, signal);
  } catch (error) {
    resetSocket(socket);
    throw error;
  }
}

type Fail = (text: string, cause?: unknown) => TunnelFailure;

async function connectHttp(
  socket: Socket,
  { user }: ProxyEntry,
  password: string | null,
  to: ServerAddress,
  fail: Fail,
): Promise<void> {
  const { request } = await import('node:http');
  const authority = formatAddress(to);
  const credentials = Buffer.from(`${user ?? ''}:${password ?? ''}`).toString('base64');
  await new Promise<void>((resolve, reject) => {
    const connect = request({
      method: 'CONNECT',
      path: authority,
      createConnection: () => socket,
      headers: {
        host: authority,
        ...(user === null && password === null ? {} : { 'proxy-authorization': `Basic ${credentials}` }),
      },
    });
    connect.once('error', (error) =>
      reject(fail(`did not answer with HTTP: ${printable(errorText(error), 100)}`, error)),
    );
    connect.once('connect', (answer, _, head) => {
      const { statusCode = 0, statusMessage = '' } = answer;
      if (statusCode >= 200 && statusCode < 300) {
        if (head.length > 0) socket.unshift(head);
        resolve();
        return;
      }
      reject(fail(`answers ${statusCode} ${printable(statusMessage, 100)}${HTTP_ADVICE[statusCode] ?? ''}`));
    });
    connect.end();
  });
}

const HTTP_ADVICE: Readonly<Record<number, string>> = {
  403: ': it forbids this host and port',
  407: ': it requires a user (proxy: http://USER@...) and a password (proxyPasswordFile)',
};

async function connectSocks(
  socket: Socket,
  { host, port, user }: ProxyEntry,
  password: string | null,
  destination: ServerAddress,
  fail: Fail,
): Promise<void> {
  try {
    const { SocksClient } = await import('./socks-client.ts');
    await SocksClient.createConnection({
      proxy: {
        host,
        port,
        type: 5,
        ...(user === null ? {} : { userId: user }),
        ...(password === null ? {} : { password }),
      },
      command: 'connect',
      destination,
      existing_socket: socket,
    });
  } catch (error) {
    throw fail(`refused the connection: ${printable(errorText(error), 100)}`, error);
  }
}
