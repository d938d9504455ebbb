import type { Client } from 'ssh2';
import { printable } from '../../lib/text.ts';
import { formatEndpoint, type Endpoint } from '../../model/endpoint.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { Channel, Originator } from '../ssh/connection.ts';

/** Asks the server to connect to an endpoint on its side (RFC 4254 section 7.2, direct-tcpip; direct-streamlocal@openssh.com). */
export function openChannel(
  client: Client,
  endpoint: Endpoint,
  from: Originator,
  done: (channel: Channel) => void,
  refuse: (failure: TunnelFailure) => void,
): void {
  const answer = (error: Error | undefined, channel: Channel) =>
    error === undefined ? done(channel) : refuse(translateRefusal(error, formatEndpoint(endpoint)));
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

/** SSH_OPEN_ADMINISTRATIVELY_PROHIBITED and SSH_OPEN_CONNECT_FAILED (RFC 4254 section 5.1). */
const PROHIBITED = 1;
const CONNECT_FAILED = 2;

/** Whether the server's rules refused a connection, and so will again. */
export function isProhibited({ cause }: TunnelFailure): boolean {
  return cause instanceof Error && (cause as { readonly reason?: unknown }).reason === PROHIBITED;
}
