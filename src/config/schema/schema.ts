import * as z from 'zod/mini';
import { LOG_LEVELS } from '../../model/config.ts';
import { readDurationFrom } from '../values/duration.ts';
import { readDynamicForward, readForward } from '../values/forward.ts';
import { readHost } from '../values/host.ts';
import { jumps } from './jump.ts';
import { keysOf, mapping } from './mapping.ts';
import { type Place, readPath, readSocketPath } from '../values/path.ts';
import { readProxy } from '../values/proxy.ts';
import { readChannelTimeout, readMask, readPermitRemoteOpen } from '../values/restrictions.ts';
import { serverKeys } from './server-options.ts';
import { BadValue, oneOrMany, readOneOf, readText, readYesNo, transformed, value } from '../values/value.ts';

/** What a tunnel may say. Made once for each place, since that takes longer than reading a tunnel with it. */
export function tunnelSchema(place: Place): TunnelSchema {
  const schema = schemas.get(place) ?? newTunnelSchema(place);
  schemas.set(place, schema);
  return schema;
}

type TunnelSchema = ReturnType<typeof newTunnelSchema>;

const schemas = new WeakMap<Place, TunnelSchema>();

function newTunnelSchema(place: Place) {
  return keysOf(servedKeys(place));
}

/** What a tunnel of a file says; what it leaves out is absent. */
export type TunnelKeys = z.output<TunnelSchema>;

/** `defaults`: the same, without what two tunnels cannot share. */
export function defaultsSchema(place: Place) {
  const listener = value((): never => {
    throw new BadValue('cannot be shared: every tunnel would ask for the same listener; write it under each tunnel');
  });
  const forwards = { remoteForward: listener, localForward: listener, dynamicForward: listener };
  return keysOf({ ...servedKeys(place), ...forwards });
}

/** The keys that this version serves, each with the function that understands its value. Meanings are those of ssh_config(5). */
export function servedKeys(place: Place) {
  const path = readPath(place);
  return {
    ...serverKeys(place),
    sourcePort: value(readOneOf(['sticky', 'any'])),
    proxyJump: jumps(place),
    proxyCommand: value(readCommand),
    proxy: value(readProxy),
    proxyPasswordFile: value(path),
    sshConfig: value((raw) => (raw === 'none' ? 'none' : path(raw))),
    exitOnForwardFailure: value(readYesNo),
    verify: value(readVerify),
    remoteForward: oneOrMany(value((raw) => readForward('remote', raw, path))),
    localForward: oneOrMany(value((raw) => readForward('local', raw, path))),
    dynamicForward: oneOrMany(value((raw) => readDynamicForward(raw, path))),
    gatewayPorts: value(readYesNo),
    streamLocalBindUnlink: value(readYesNo),
    streamLocalBindMask: value(readMask),
    permitRemoteOpen: value(readPermitRemoteOpen),
    channelTimeout: value(readChannelTimeout),
    reconnect: reconnect(),
  };
}

/** YAML reads a bare `off` as text, as it is meant; `no` is what people write who think of ssh_config. */
function readVerify(raw: unknown): 'auto' | 'required' | 'off' {
  return raw === false || raw === 'no' ? 'off' : readOneOf(['auto', 'required', 'off'])(raw);
}

/** Null for `none`. */
function readCommand(raw: unknown): string | null {
  const text = readText(raw);
  return text.toLowerCase() === 'none' ? null : text;
}

/** The top of the file; tunnels and defaults are read by themselves. */
export function fileSchema(place: Place) {
  return keysOf({
    defaults: z.unknown(),
    tunnels: z.unknown(),
    network: mapping({ ping: oneOrMany(value(readHost)) }),
    log: mapping({ level: value(readOneOf(LOG_LEVELS)), file: value(readPath(place)) }),
    control: mapping({ socket: value(readSocketPath(place)) }),
    stateDirectory: value(readPath(place)),
  });
}

/** Seconds between attempts: the shortest and the longest wait. */
export const DEFAULT_RECONNECT = { minMs: 1000, maxMs: 60_000 };

function reconnect() {
  const limits = mapping({ min: value(readDurationFrom(1)), max: value(readDurationFrom(1)) });
  return transformed(limits, ({ min, max }, context) => {
    const { minMs, maxMs } = { minMs: min ?? DEFAULT_RECONNECT.minMs, maxMs: max ?? DEFAULT_RECONNECT.maxMs };
    if (minMs <= maxMs) return { minMs, maxMs };
    const message = `has a min of ${minMs / 1000} seconds above its max of ${maxMs / 1000}`;
    context.issues.push({ code: 'custom', message, input: { min, max } });
    return z.NEVER;
  });
}
