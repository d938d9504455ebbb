import { servicePort } from '../../host/services.ts';
import type { Endpoint, SocksTarget } from '../../model/endpoint.ts';
import { checkSocketPath } from './path.ts';
import { BadValue, isEmpty, readText, show } from './value.ts';

/** Makes the path of a socket absolute. */
export type ReadPath = (raw: unknown) => string;

/** One part of a forward between its colons. A part with a slash is a path, as in ssh. */
export interface Field {
  readonly text: string;
  readonly isPath: boolean;
}

/** Splits at colons, as ssh does: brackets and backslashes protect a colon. Null for an unmatched bracket. */
export function splitFields(text: string): Field[] | null {
  const fields: Field[] = [];
  let start = 0;
  while (start <= text.length) {
    FIELD.lastIndex = start;
    const match = FIELD.exec(text);
    if (match === null) return null;
    const field = match[1] ?? (match[2] ?? '').replaceAll(/\\(.)/g, '$1');
    fields.push({ text: field, isPath: field.includes('/') });
    start += match[0].length + 1;
  }
  return fields;
}

/** `[anything]`, or anything without a colon, up to a colon or the end. */
const FIELD = /(?:\[([^\]]*)\]|((?!\[)(?:\\.|[^:\\])*))(?=:|$)/y;

/** The side of the connection that a listener or target is on, with its rules for ports and paths. */
export interface Side {
  /** Checks the path of a Unix socket, and makes it absolute where possible. */
  readonly socketPath: ReadPath;
  /** The lowest port to listen on: with 0 the server chooses one. */
  readonly lowestListen: 0 | 1;
}

/** Relative paths would depend on sshd's working directory, and sshd does not expand ~. */
export const SERVER: Side = {
  socketPath: (raw) => {
    if (typeof raw !== 'string' || !raw.startsWith('/')) {
      throw new BadValue("must have the full path of the server's socket");
    }
    return checkSocketPath(raw);
  },
  lowestListen: 0,
};

/** This device; `readPath` makes a path absolute. */
export function deviceSide(readPath: ReadPath): Side {
  return { socketPath: (raw) => checkSocketPath(readPath(raw)), lowestListen: 1 };
}

/** A listener; null where the fields do not make one. A port alone is on loopback. */
export function listenEndpoint(fields: readonly Field[], side: Side): Endpoint | null {
  const [first, second, ...more] = fields;
  if (!first || more.length > 0) return null;
  if (!second) {
    if (first.isPath) return { type: 'unix', path: side.socketPath(first.text) };
    return { type: 'tcp', host: 'localhost', port: readPort(first, side.lowestListen) };
  }
  if (first.isPath || second.isPath) return null;
  // All addresses: ssh(1), -R and -L.
  const host = first.text === '*' ? '' : checkHost(first.text);
  return { type: 'tcp', host, port: readPort(second, side.lowestListen) };
}

/** A target; null where the fields do not make one. */
export function targetEndpoint(fields: readonly Field[], side: Side): Endpoint | null {
  const [first, second, ...more] = fields;
  if (!first || more.length > 0) return null;
  if (!second) return first.isPath ? { type: 'unix', path: side.socketPath(first.text) } : null;
  if (first.isPath || second.isPath) return null;
  if (first.text === '' || first.text === '*') {
    throw new BadValue('has no host to connect to: write localhost for the machine itself');
  }
  return { type: 'tcp', host: checkHost(first.text), port: readPort(second, 1) };
}

/** The listener of a forward alone: `8080`, `*:8080`, `[::1]:8080` or `/run/a.sock`. */
export function readListen(raw: unknown, side: Side): Endpoint {
  const endpoint = listenEndpoint(fieldsOf(raw), side);
  if (endpoint === null) throw new BadValue(`must be a listener such as 8080, *:8080 or /run/a.sock, not ${show(raw)}`);
  return endpoint;
}

/** The target of a forward alone: `localhost:22`, `[::1]:22`, `/run/a.sock`, or `socks`. */
export function readTarget(raw: unknown, side: Side): Endpoint | SocksTarget {
  if (raw === 'socks') return { type: 'socks' };
  const endpoint = targetEndpoint(fieldsOf(raw), side);
  if (endpoint === null) throw new BadValue(`must be a target such as localhost:22 or /run/a.sock, not ${show(raw)}`);
  return endpoint;
}

function fieldsOf(raw: unknown): Field[] {
  if (isEmpty(raw)) throw new BadValue('is empty');
  return splitFields(readText(typeof raw === 'number' ? String(raw) : raw).trim()) ?? [];
}

function checkHost(host: string): string {
  if (/[\s@]/.test(host)) throw new BadValue('has a host that is neither a name nor an address');
  return host;
}

function readPort({ text }: Field, min: 0 | 1): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : (servicePort(text) ?? -1);
  if (port >= min && port <= 65_535) return port;
  throw new BadValue(`has ${show(text)} instead of a port from ${min} to 65535`);
}
