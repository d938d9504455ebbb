import { internalsOf } from './protocol/internals.ts';
import type { Client } from 'ssh2';
import { systemClock } from '../../lib/async/clock.ts';
import { errorText, printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { guardListeners } from '../../net/streams/guard-listeners.ts';
import { formatEndpoint, type Endpoint } from '../../model/endpoint.ts';
import type { Channel, CommandOutput, Originator, SessionProbe, SshConnection } from '../ssh/connection.ts';
import { probeSession } from './probe-session.ts';
import { ProtocolViolation } from './protocol/violations.ts';
import { openTun } from './open-tun.ts';
import { runCommand } from './run-command.ts';

/**
 * Requests to the server that wait for a reply: global requests (RFC 4254 section 4) and connections that the server
 * opens.
 */
export interface Requests extends Pick<
  SshConnection,
  'listen' | 'unlisten' | 'open' | 'probeSession' | 'openTun' | 'run' | 'ping'
> {
  /** The connection is gone: every request, present or later, fails with this. */
  fail(failure: TunnelFailure): void;
}

export function createRequests(client: Client, clock = systemClock): Requests {
  // Not a race with one promise for the end: that promise would remember each race until then.
  const waiting = new Set<(failure: TunnelFailure) => void>();
  let ended: TunnelFailure | null = null;

  const ask = <T>(send: (done: (error: TunnelFailure | null, value: T) => void) => void): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (ended !== null) {
        reject(ended);
        return;
      }
      waiting.add(reject);
      try {
        send((error, value) => {
          waiting.delete(reject);
          if (error === null) resolve(value);
          else reject(error);
        });
      } catch (error) {
        // ssh2 throws where it is not connected.
        waiting.delete(reject);
        reject(new TunnelFailure('disconnected', errorText(error), { cause: error }));
      }
    });

  return {
    listen: (endpoint) => ask<number>((done) => listen(client, endpoint, done)),
    unlisten: (endpoint) => ask<void>((done) => unlisten(client, endpoint, () => done(null, undefined))),
    open: async (endpoint, originator) =>
      guardListeners(await ask<Channel>((done) => open(client, endpoint, originator, done))),
    probeSession: (use) =>
      ask<SessionProbe>((done) => probeSession(client, use, clock, (answer) => done(null, answer))),
    openTun: () => ask<'granted' | 'refused' | 'unable'>((done) => openTun(client, (answer) => done(null, answer))),
    run: (command, input, limit) => ask<CommandOutput>((done) => runCommand(client, command, input, limit, done)),
    ping: () => ask<void>((done) => sendPing(client, () => done(null, undefined))),
    fail: (failure) => {
      ended ??= failure;
      for (const reject of waiting) reject(failure);
      waiting.clear();
    },
  };
}

/** SSH_OPEN_CONNECT_FAILED (RFC 4254 section 5.1). */
const CONNECT_FAILED = 2;

function open(
  client: Client,
  endpoint: Endpoint,
  from: Originator,
  done: (error: TunnelFailure | null, channel: Channel) => void,
): void {
  const answer = (error: Error | undefined, channel: Channel) => {
    done(error === undefined ? null : translateRefusal(error, formatEndpoint(endpoint)), channel);
  };
  if (endpoint.type === 'unix') client.openssh_forwardOutStreamLocal(endpoint.path, answer);
  else client.forwardOut(from.address, from.port, endpoint.host, endpoint.port, answer);
}

/** Without a reason the connection has ended, or the server lacks the extension. */
function translateRefusal(error: Error & { readonly reason?: unknown }, target: string): TunnelFailure {
  const text = printable(error.message.replace(/^\(SSH\) Channel open failure: /, ''));
  const cause = { cause: error };
  switch (error.reason) {
    case CONNECT_FAILED:
      return new TunnelFailure('target-unreachable', `the server cannot connect to ${target}: ${text}`, cause);
    case PROHIBITED:
      return new TunnelFailure(
        'forward-refused',
        `the server forbids connections to ${target} (administratively prohibited: AllowTcpForwarding, AllowStreamLocalForwarding, permitopen, or a certificate without permit-port-forwarding): ${text}`,
        cause,
      );
    default:
      return new TunnelFailure('forward-refused', `the server does not connect to ${target}: ${text}`, cause);
  }
}

/** SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254 section 5.1). */
const PROHIBITED = 1;

/** Whether the server's rules refused a connection, and so will again. */
export function isProhibited({ cause }: TunnelFailure): boolean {
  return cause instanceof Error && (cause as { readonly reason?: unknown }).reason === PROHIBITED;
}

/**
 * OpenSSH's own keepalive (`keepalive@openssh.com`, clientloop.c): servers that do not know it refuse it, which is an
 * answer too (RFC 4254 section 4). ssh2 has it for its own keepalive only. No public request will do: cancelling a
 * missing listener ends the connection with AsyncSSH.
 */
function sendPing(client: Client, done: () => void): void {
  const { _callbacks: callbacks, _protocol: protocol } = internalsOf(client);
  if (protocol === undefined) throw new Error('Not connected');
  callbacks.push(done);
  protocol.ping();
}

function listen(client: Client, endpoint: Endpoint, done: (error: TunnelFailure | null, port: number) => void): void {
  const refused = () =>
    done(new TunnelFailure('forward-refused', `the server refused to listen on ${formatEndpoint(endpoint)}`), 0);
  if (endpoint.type === 'unix') {
    client.openssh_forwardInStreamLocal(endpoint.path, (error) => (error ? refused() : done(null, 0)));
  } else {
    client.forwardIn(endpoint.host, endpoint.port, (error, port) => {
      if (error) refused();
      else if (port < 1 || port > 65_535) throw new ProtocolViolation(`it says that it listens on port ${port}`);
      else done(null, port);
    });
  }
}

function unlisten(client: Client, endpoint: Endpoint, done: () => void): void {
  if (endpoint.type === 'unix') client.openssh_unforwardInStreamLocal(endpoint.path, done);
  else client.unforwardIn(endpoint.host, endpoint.port, done);
}
