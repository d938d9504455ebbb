import { z } from 'zod';
import { readAlgorithms } from './algorithm-list.ts';
import { LOG_LEVELS } from './config.ts';
import { readDuration, readDurationFrom } from './duration.ts';
import { readListen, readTarget } from './endpoint.ts';
import { readForward } from './forward.ts';
import { readAddress, readHost } from './host.ts';
import { keysOf, mapping } from './mapping.ts';
import { paths, type Place, readAgent, readPath, readSocketPath, spacedPaths } from './path-value.ts';
import { UNSUPPORTED_KEYS } from './unsupported.ts';
import { BadValue, isMapping, oneOrMany, readInteger, readOneOf, readWord, readYesNo, value } from './value.ts';

/** What a tunnel may say. */
export function tunnelSchema(place: Place) {
  return keysOf({ ...servedKeys(place), ...UNSUPPORTED_KEYS });
}

/** What a tunnel of a file says; what it leaves out is absent. */
export type TunnelKeys = z.output<ReturnType<typeof tunnelSchema>>;

/** `defaults`: the same, without what two tunnels cannot share. */
export function defaultsSchema(place: Place) {
  const remoteForward = value((): never => {
    throw new BadValue('cannot be shared: every tunnel would ask for the same listener; write it under each tunnel');
  });
  return keysOf({ ...servedKeys(place), ...UNSUPPORTED_KEYS, remoteForward });
}

/** The keys that this version serves, each with the function that understands its value. Meanings are those of ssh_config(5). */
export function servedKeys(place: Place) {
  return {
    host: value(readHost),
    port: value(readInteger(1, 65_535)),
    user: value(readWord),
    addressFamily: value(readOneOf(['any', 'inet', 'inet6'])),
    bindAddress: value(readAddress),
    sourcePort: value(readOneOf(['sticky', 'any'])),
    connectTimeout: value(readDurationFrom(1)),
    tcpKeepAlive: value(readYesNo),
    identityFile: paths(place),
    identitiesOnly: value(readYesNo),
    identityAgent: value(readAgent(place)),
    passphraseFile: value(readPath(place)),
    passwordFile: value(readPath(place)),
    userKnownHostsFile: spacedPaths(place),
    globalKnownHostsFile: spacedPaths(place),
    strictHostKeyChecking: value(readStrictness),
    hostKeyAlias: value(readWord),
    updateHostKeys: value(readYesNo),
    serverAliveInterval: value(readDuration),
    serverAliveCountMax: value(readInteger(1, 1_000_000)),
    exitOnForwardFailure: value(readYesNo),
    ciphers: value(readAlgorithms('ciphers')),
    kexAlgorithms: value(readAlgorithms('kexAlgorithms')),
    macs: value(readAlgorithms('macs')),
    hostKeyAlgorithms: value(readAlgorithms('hostKeyAlgorithms')),
    remoteForward: oneOrMany(forward(place)),
    reconnect: reconnect(),
  };
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

function readStrictness(raw: unknown): 'yes' | 'accept-new' | 'no' {
  if (raw === true) return 'yes';
  if (raw === false) return 'no';
  if (raw === 'ask')
    throw new BadValue(
      'cannot be ask: nobody is there to answer; write yes, or accept-new to trust the first key seen',
    );
  if (raw === 'off') throw new BadValue('must be written no, which says the same as off');
  return readOneOf(['yes', 'accept-new', 'no'])(raw);
}

function forward(place: Place) {
  const spelled = value((raw) => readForward(raw, readPath(place)));
  const parts = mapping({ listen: value(readListen), target: value((raw) => readTarget(raw, readPath(place))) });
  const mapped = parts.transform(({ listen, target }, context) => {
    if (listen && target) return { kind: 'remote' as const, listen, target };
    context.addIssue("needs both listen and target, such as { listen: '8080', target: 'localhost:22' }");
    return z.NEVER;
  });
  return z.unknown().transform((raw, context) => {
    const result = (isMapping(raw) ? mapped : spelled).safeParse(raw);
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.addIssue({ ...issue });
    return z.NEVER;
  });
}

/** Seconds between attempts: the shortest and the longest wait. */
export const DEFAULT_RECONNECT = { minMs: 1000, maxMs: 60_000 };

function reconnect() {
  const limits = mapping({ min: value(readDurationFrom(1)), max: value(readDurationFrom(1)) });
  return limits.transform(({ min, max }, context) => {
    const { minMs, maxMs } = { minMs: min ?? DEFAULT_RECONNECT.minMs, maxMs: max ?? DEFAULT_RECONNECT.maxMs };
    if (minMs <= maxMs) return { minMs, maxMs };
    context.addIssue(`has a min of ${minMs / 1000} seconds above its max of ${maxMs / 1000}`);
    return z.NEVER;
  });
}
