import { randomBytes } from 'node:crypto';
import type { Endpoint } from '../../model/endpoint.ts';
import type { SshConnection } from '../../connection/ssh/connection.ts';
import { connects, whileListening } from './ask.ts';
import type { Observation } from '../findings/finding.ts';

/**
 * OpenSSH gives the same answer where it may not connect to a socket and where it cannot (server_request_direct_streamlocal in
 * serverloop.c): only a connection that opens shows something. So it is tried with a socket of our own, else with usual ones.
 */
export async function connectToSocket(
  connection: SshConnection,
  knownSockets: readonly string[],
): Promise<Observation> {
  const ours = await whileListening(connection, NAMELESS, () => connects(connection, NAMELESS));
  if (ours === 'yes') return { verdict: 'open', detail: '' };
  if (ours !== null) return { verdict: 'closed', detail: 'refused' };
  for (const path of knownSockets) {
    const answer = await connects(connection, { type: 'unix', path });
    if (answer === 'yes') return { verdict: 'open', detail: `the server connected to ${path}` };
    if (answer === 'forbidden') return { verdict: 'closed', detail: 'refused' };
  }
  return { verdict: 'closed', detail: "none of a server's usual sockets could be reached" };
}

/** Has the server make a socket, without a name where it can. */
export async function listenOnSocket(connection: SshConnection): Promise<Observation> {
  if ((await whileListening(connection, NAMELESS, async () => true)) === true) return { verdict: 'open', detail: '' };
  const path = `/tmp/tunneld-audit-${randomBytes(8).toString('hex')}.sock`;
  if ((await whileListening(connection, { type: 'unix', path }, async () => true)) === null)
    return { verdict: 'closed', detail: 'refused' };
  return { verdict: 'open', detail: `the server may have left an empty file ${path}, which you can remove` };
}

/**
 * A name that leaves nothing behind: bind(2) of an address that begins with a zero byte puts the socket into Linux's abstract
 * namespace (unix(7)), and OpenSSH binds the whole address. A socket with a name would stay as a file. Other systems refuse it.
 */
const NAMELESS: Endpoint = { type: 'unix', path: '' };

/** Sockets that all users may connect to, of D-Bus, systemd, Docker and macOS: connecting and closing does nothing. */
export const KNOWN_SOCKETS: readonly string[] = [
  '/run/dbus/system_bus_socket',
  '/run/systemd/userdb/io.systemd.DynamicUser',
  '/var/run/docker.sock',
  '/var/run/mDNSResponder',
];
