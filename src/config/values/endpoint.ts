import { servicePort } from '../../host/services.ts';
import type { Endpoint, SocksTarget } from '../../model/endpoint.ts';
import { checkSocketPath } from './path.ts';
import { BadValue, isEmpty, readText, show } from './value.ts';

/** Makes the path of a socket on this device absolute. */
export type ReadPath = (raw: unknown) => string;

/** One part of a forward between its colons. Whatever contains a slash is a path, as for ssh. */
export interface Field {
  readonly text: string;
  readonly isPath: boolean;
}

/** Splits at colons, as ssh does: brackets and backslashes protect a colon. Null where a bracket does not fit. */
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

/** Which end of the connection something stands on: there its ports are, and its paths begin. */
export interface Side {
  /** Checks the path of a Unix socket there, and makes it absolute where that can be done. */
  readonly socketPath: ReadPath;
  /** The lowest port that can be listened on: 0 lets a server choose. */
  readonly lowestListen: 0 | 1;
}

/** Relative paths would begin wherever the server happens to be, and nobody expands a ~ there. */
export const SERVER: Side = {
  socketPath: (raw) => {
    if (typeof raw !== 'string' || !raw.startsWith('/')) {
      throw new BadValue("must name the server's socket by its whole path");
    }
    return checkSocketPath(raw);
  },
  lowestListen: 0,
};

/** This device; `readPath` makes a path absolute. */
export function deviceSide(readPath: ReadPath): Side {
  return { socketPath: (raw) => checkSocketPath(readPath(raw)), lowestListen: 1 };
}

/** A listener; null where the fields have not the shape of one. A port alone is one of the loopback addresses. */
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

/** What the other end connects to; null where the fields have not the shape of that. */
export function targetEndpoint(fields: readonly Field[], side: Side): Endpoint | null {
  const [first, second, ...more] = fields;
  if (!first || more.length > 0) return null;
  if (!second) return first.isPath ? { type: 'unix', path: side.socketPath(first.text) } : null;
  if (first.isPath || second.isPath) return null;
  if (first.text === '' || first.text === '*') {
    throw new BadValue('names no host to connect to: for the same machine write localhost');
  }
  return { type: 'tcp', host: checkHost(first.text), port: readPort(second, 1) };
}

/** The listener of a forward on its own: `8080`, `*:8080`, `[::1]:8080` or `/run/a.sock`. */
export function readListen(raw: unknown, side: Side): Endpoint {
  const endpoint = listenEndpoint(fieldsOf(raw), side);
  if (endpoint === null) throw new BadValue(`must be a listener such as 8080, *:8080 or /run/a.sock, not ${show(raw)}`);
  return endpoint;
}

/** The target of a forward on its own: `localhost:22`, `[::1]:22`, `/run/a.sock`, or `socks`. */
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
  if (/[\s@]/.test(host)) throw new BadValue('names a host that is no host name and no address');
  return host;
}

function readPort({ text }: Field, min: 0 | 1): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : (servicePort(text) ?? -1);
  if (port >= min && port <= 65_535) return port;
  throw new BadValue(`has ${show(text)} where a port from ${min} to 65535 must stand`);
}
