import type { Endpoint } from '../tunnel/spec.ts';
import { checkSocketPath } from './path-value.ts';
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

/** A listener of the server; null where the fields have not the shape of one. A port alone is one of the loopback addresses. */
export function listenEndpoint(fields: readonly Field[]): Endpoint | null {
  const [first, second, ...more] = fields;
  if (!first || more.length > 0) return null;
  if (!second) return first.isPath ? serverSocket(first) : { type: 'tcp', host: 'localhost', port: readPort(first, 0) };
  if (first.isPath || second.isPath) return null;
  // All addresses of the server: ssh(1), -R.
  const host = first.text === '*' ? '' : checkHost(first.text);
  return { type: 'tcp', host, port: readPort(second, 0) };
}

/** What the device connects to; null where the fields have not the shape of that. */
export function targetEndpoint(fields: readonly Field[], readPath: ReadPath): Endpoint | null {
  const [first, second, ...more] = fields;
  if (!first || more.length > 0) return null;
  if (!second) return first.isPath ? { type: 'unix', path: checkSocketPath(readPath(first.text)) } : null;
  if (first.isPath || second.isPath) return null;
  if (first.text === '' || first.text === '*') {
    throw new BadValue('names no host to connect to: for this device write localhost');
  }
  return { type: 'tcp', host: checkHost(first.text), port: readPort(second, 1) };
}

/** The listener of a forward on its own: `8080`, `*:8080`, `[::1]:8080` or `/run/a.sock`. */
export function readListen(raw: unknown): Endpoint {
  const endpoint = listenEndpoint(fieldsOf(raw));
  if (endpoint === null) throw new BadValue(`must be a listener such as 8080, *:8080 or /run/a.sock, not ${show(raw)}`);
  return endpoint;
}

/** The target of a forward on its own: `localhost:22`, `[::1]:22` or `/run/a.sock`. */
export function readTarget(raw: unknown, readPath: ReadPath): Endpoint {
  const endpoint = targetEndpoint(fieldsOf(raw), readPath);
  if (endpoint === null) throw new BadValue(`must be a target such as localhost:22 or /run/a.sock, not ${show(raw)}`);
  return endpoint;
}

function fieldsOf(raw: unknown): Field[] {
  if (isEmpty(raw)) throw new BadValue('is empty');
  return splitFields(readText(typeof raw === 'number' ? String(raw) : raw).trim()) ?? [];
}

/** Relative paths would begin wherever the server happens to be, and nobody expands a ~ there. */
function serverSocket({ text }: Field): Endpoint {
  if (!text.startsWith('/')) throw new BadValue("must name the server's socket by its whole path");
  return { type: 'unix', path: checkSocketPath(text) };
}

function checkHost(host: string): string {
  if (/[\s@]/.test(host)) throw new BadValue('names a host that is no host name and no address');
  return host;
}

/** Port 0 is for listeners alone: it lets the server choose. */
function readPort({ text }: Field, min: 0 | 1): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port >= min && port <= 65_535) return port;
  const what = min === 0 ? 'listens on' : 'connects to';
  throw new BadValue(`${what} ${show(text)} where a port from ${min} to 65535 must stand`);
}
