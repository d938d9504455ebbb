import type { Client } from 'ssh2';
import { formatEndpoint, type Endpoint } from '../../model/endpoint.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { internalsOf } from './protocol/internals.ts';
import { ProtocolViolation } from './protocol/violations.ts';

/** RFC 4254 section 7.1, tcpip-forward, and streamlocal-forward@openssh.com: `done` gets the port, 0 for a path. */
export function listen(
  client: Client,
  endpoint: Endpoint,
  done: (port: number) => void,
  refuse: (failure: TunnelFailure) => void,
): void {
  const refused = () =>
    refuse(new TunnelFailure('forward-refused', `the server refused to listen on ${formatEndpoint(endpoint)}`));
  if (endpoint.type === 'unix') {
    client.openssh_forwardInStreamLocal(endpoint.path, (error) => (error ? refused() : done(0)));
  } else {
    client.forwardIn(endpoint.host, endpoint.port, (error, port) => {
      if (error) refused();
      else if (port < 1 || port > 65_535) throw new ProtocolViolation(`it says that it listens on port ${port}`);
      else done(port);
    });
  }
}

/** A refusal is an answer, too. */
export function unlisten(client: Client, endpoint: Endpoint, done: () => void): void {
  if (endpoint.type === 'unix') client.openssh_unforwardInStreamLocal(endpoint.path, done);
  else client.unforwardIn(endpoint.host, endpoint.port, done);
}

/**
 * OpenSSH's own keepalive (`keepalive@openssh.com`, clientloop.c): servers that do not know it refuse it, which is an
 * answer too (RFC 4254 section 4). ssh2 has it for its own keepalive only. No public request will do: cancelling a
 * missing listener ends the connection with AsyncSSH.
 */
export function sendPing(client: Client, done: () => void): void {
  const { _callbacks: callbacks, _protocol: protocol } = internalsOf(client);
  if (protocol === undefined) throw new Error('Not connected');
  callbacks.push(done);
  protocol.ping();
}
