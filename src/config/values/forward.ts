import { bracketed } from '../../model/endpoint.ts';
import { type ForwardSpec, PROXY_PROTOCOLS, type ProxyProtocol } from '../../model/spec.ts';
import {
  deviceSide,
  type Field,
  listenEndpoint,
  readListen,
  type ReadPath,
  readTarget,
  SERVER,
  type Side,
  splitFields,
  targetEndpoint,
} from './endpoint.ts';
import { BadValue, isEmpty, isMapping, readText, show } from './value.ts';

export interface WrittenForward extends ForwardSpec {
  /** Whether an address to listen on was written; otherwise gatewayPorts decides it. */
  readonly bound: boolean;
}

/**
 * A forward as in `ssh -R` and `ssh -L`, `[bind_address:]port:host:hostport` with a Unix socket on either side, as in ssh_config(5), with
 * a space between listener and target, or as a mapping of `listen` and `target`. A remote forward without a target, which ssh makes a
 * SOCKS proxy, is rejected, because it opens the network of this device. `readPath` makes paths of this device absolute.
 */
export function readForward(kind: 'remote' | 'local', raw: unknown, readPath: ReadPath): WrittenForward {
  const device = deviceSide(readPath);
  const [here, there] = kind === 'remote' ? [SERVER, device] : [device, SERVER];
  if (isMapping(raw)) return readHalves(kind, raw, here, there);
  const fields = fieldsOf(raw);
  const targetLength = fields.at(-1)?.isPath ? 1 : 2;
  const listenFields = fields.slice(0, -targetLength);
  const listen = listenEndpoint(listenFields, here);
  const target = listen && targetEndpoint(fields.slice(-targetLength), there);
  if (target) return { kind, listen, target, bound: listenFields.length > 1 };
  if (!isListener(fields)) throw notAForward(raw);
  if (kind === 'local')
    throw new BadValue(`has no target: write it like ${EXAMPLE}, or a SOCKS proxy as dynamicForward`);
  // An invalid listener has a message of its own.
  listenEndpoint(fields, here);
  const text = String(raw);
  throw new BadValue(noTarget(text, `{ listen: '${text}', target: socks }`));
}

/** Whether a text is a listener only, which ssh makes a remote SOCKS proxy. */
export function isBareListener(text: string): boolean {
  try {
    return isListener(fieldsOf(text));
  } catch (error) {
    if (error instanceof BadValue) return false;
    throw error;
  }
}

/** The message where such a text is rejected; `proxy` is how to write a SOCKS proxy instead. */
export function noTarget(text: string, proxy: string): string {
  return `has no target: write ${likelyMeaning(fieldsOf(text))}, or ${proxy} for ${A_PROXY}`;
}

/** The warning where such a text makes a SOCKS proxy, as in ssh. */
export function openProxyWarning(text: string): string {
  const fields = fieldsOf(text);
  const address = fields.length > 1 ? `, and ${show(fields[0]!.text)} is the address to listen on` : '';
  return `a forward without a target is ${A_PROXY}${address}; unless that is intended, write ${likelyMeaning(fields)}`;
}

const A_PROXY = 'a SOCKS proxy, through which its users reach whatever this device reaches';

/**
 * The forward that was probably meant: `80:8080` in the notation of docker forwards port 80 to port 8080. A port below 1024, which
 * sshd opens for root only, is replaced by a larger one.
 */
function likelyMeaning(fields: readonly Field[]): string {
  const [first, second] = fields;
  const host = second !== undefined && !isNumber(first!) ? `${bracketed(first!.text)}:` : '';
  const wanted = (host === '' ? first : second)!;
  const port = isNumber(wanted) ? Number(wanted.text) : 0;
  const isRoots = port > 0 && port < 1024;
  const listen = isRoots ? String(port + 8000) : wanted.text;
  const written = `${host}${listen}:localhost:${host === '' && second !== undefined ? second.text : 22}`;
  return isRoots ? `${written} (sshd opens ports below 1024 for root only)` : written;
}

/** A SOCKS proxy on this device, `[bind_address:]port` (ssh(1), -D). */
export function readDynamicForward(raw: unknown, readPath: ReadPath): WrittenForward {
  const fields = isMapping(raw) ? [] : fieldsOf(raw);
  if (!isListener(fields) || fields.some(({ isPath }) => isPath)) {
    throw new BadValue(`must be the port of a SOCKS proxy such as 1080 or *:1080, not ${show(raw)}`);
  }
  const listen = listenEndpoint(fields, deviceSide(readPath))!;
  return { kind: 'dynamic', listen, target: { type: 'socks' }, bound: fields.length > 1 };
}

const EXAMPLE = '8080:localhost:22';

function readHalves(kind: 'remote' | 'local', raw: Record<string, unknown>, here: Side, there: Side): WrittenForward {
  const { listen, target, proxyProtocol, ...others } = raw;
  if (isEmpty(listen) || isEmpty(target) || Object.keys(others).length > 0) {
    throw new BadValue(
      "must have listen and target (a remoteForward may have proxyProtocol, too) and no other key, such as { listen: '8080', target: 'localhost:22' }",
    );
  }
  if (kind === 'local' && target === 'socks') throw new BadValue('is a SOCKS proxy: write it as dynamicForward');
  return {
    kind,
    listen: readListen(listen, here),
    target: readTarget(target, there),
    bound: String(listen).includes(':'),
    ...(proxyProtocol === undefined ? {} : { proxyProtocol: readProxyProtocol(kind, target, proxyProtocol) }),
  };
}

function readProxyProtocol(kind: 'remote' | 'local', target: unknown, raw: unknown): ProxyProtocol {
  if (kind === 'local')
    throw new BadValue('has proxyProtocol, which only a remoteForward can have: its visitors come from the server');
  if (target === 'socks')
    throw new BadValue(
      'has proxyProtocol, which a SOCKS proxy cannot have: its visitors choose targets that may not expect it',
    );
  const version = PROXY_PROTOCOLS.find((each) => each === raw);
  if (version === undefined)
    throw new BadValue(`has proxyProtocol: ${show(raw)}, which must be ${PROXY_PROTOCOLS.join(' or ')}`);
  return version;
}

function fieldsOf(raw: unknown): Field[] {
  if (isEmpty(raw)) throw new BadValue('is empty');
  if (typeof raw !== 'string' && typeof raw !== 'number') {
    throw new BadValue(`must be a forward such as ${EXAMPLE}, not ${show(raw)}`);
  }
  // A backslash escapes a space in a path.
  const halves = readText(String(raw))
    .trim()
    .split(/(?<!\\)\s+/);
  const fields = halves.length > 2 ? null : splitFields(halves.join(':'));
  if (fields === null) throw notAForward(raw);
  return fields;
}

/** `port`, `bind:port` or `/socket` alone, which ssh makes a SOCKS proxy. */
function isListener([first, second, ...more]: readonly Field[]): boolean {
  if (!first || more.length > 0) return false;
  return second ? !first.isPath && isNumber(second) : first.isPath || isNumber(first);
}

function isNumber({ text }: Field): boolean {
  return /^\d+$/.test(text);
}

function notAForward(raw: unknown): BadValue {
  const advice = /:.*:.*:.*:/.test(String(raw)) ? ' (IPv6 addresses need brackets: [::1])' : '';
  return new BadValue(`must be a forward such as ${EXAMPLE}, not ${show(raw)}${advice}`);
}
