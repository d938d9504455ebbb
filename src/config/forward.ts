import type { ForwardSpec } from '../tunnel/spec.ts';
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

/** A forward as it was written. */
export interface WrittenForward extends ForwardSpec {
  /** Whether the address to listen on was written too; where not, gatewayPorts chooses it. */
  readonly bound: boolean;
}

/**
 * A forward as `ssh -R` and `ssh -L` take it, `[bind_address:]port:host:hostport` with a Unix socket on either side, as
 * ssh_config(5) does, with a space between listener and target, or as a mapping of `listen` and `target`. A remote one without
 * a target is a SOCKS proxy. `readPath` makes paths of this device absolute.
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
    throw new BadValue(`names no target: write it like ${EXAMPLE}, or a SOCKS proxy as dynamicForward`);
  return { kind, listen: listenEndpoint(fields, here)!, target: { type: 'socks' }, bound: fields.length > 1 };
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
  const { listen, target, ...others } = raw;
  if (isEmpty(listen) || isEmpty(target) || Object.keys(others).length > 0) {
    throw new BadValue("needs listen and target and nothing else, such as { listen: '8080', target: 'localhost:22' }");
  }
  if (kind === 'local' && target === 'socks') throw new BadValue('is a SOCKS proxy: write it as dynamicForward');
  return {
    kind,
    listen: readListen(listen, here),
    target: readTarget(target, there),
    bound: String(listen).includes(':'),
  };
}

function fieldsOf(raw: unknown): Field[] {
  if (isEmpty(raw)) throw new BadValue('is empty');
  if (typeof raw !== 'string' && typeof raw !== 'number') {
    throw new BadValue(`must be a forward such as ${EXAMPLE}, not ${show(raw)}`);
  }
  // A backslash keeps a space within a path.
  const halves = readText(String(raw))
    .trim()
    .split(/(?<!\\)\s+/);
  const fields = halves.length > 2 ? null : splitFields(halves.join(':'));
  if (fields === null) throw notAForward(raw);
  return fields;
}

/** `port`, `bind:port` or `/socket` alone, of which ssh makes a SOCKS proxy. */
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
