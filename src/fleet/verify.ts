import { fingerprint } from '../connection/known-hosts/key-blob.ts';
import type { Channel, SshConnection } from '../connection/ssh/connection.ts';
import { type Scan, scanServer } from '../connection/ssh2/scan.ts';
import type { Clock } from '../lib/async/clock.ts';
import { asFailure } from '../model/failure.ts';
import { isWildcardHost } from '../model/endpoint.ts';
import { adaptStreams } from '../net/stream-adapter.ts';
import type { FleetDevice, FleetTrouble } from './document.ts';

/** What was seen at a port of a device. */
export interface PortSight {
  readonly verified: FleetDevice['verified'];
  readonly seenHostKey?: string;
  readonly trouble: FleetTrouble | null;
}

/**
 * Connects to the port as a visitor does, through the server, and compares the host key with the recorded one. Null where the server lets
 * this login connect to no port.
 */
export async function lookAtPort(
  { open }: Pick<SshConnection, 'open'>,
  device: FleetDevice,
  clock: Clock,
): Promise<PortSight | null> {
  const { host, port, hostKey } = device;
  const endpoint = {
    type: 'tcp',
    host: host === null || isWildcardHost(host) ? 'localhost' : host,
    port: port!,
  } as const;
  let channel: Channel;
  try {
    channel = await open(endpoint, { address: '127.0.0.1', port: 0 });
  } catch (error) {
    const { code, message } = asFailure(error);
    if (code !== 'target-unreachable') return null;
    return { verified: 'no', trouble: { code: 'no-answer', message } };
  }
  let bytes = 0;
  channel.on('data', (chunk: Buffer) => (bytes += chunk.length));
  const stream = adaptStreams({ readable: channel, writable: channel, close: () => channel.close() });
  const started = clock.now();
  const scan = await scanServer(stream, PATIENCE_MS, clock, TYPES, 'proven');
  return judge(scan, hostKey, { bytes, ended: clock.now() - started < PATIENCE_MS });
}

const PATIENCE_MS = 5000;

/** In the order in which the setup chooses the key that it records. */
const TYPES = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

/** Pure. A port without a recorded key may lead to anything. */
export function judge(
  { hostKey, software, error }: Scan,
  recorded: string | undefined,
  { bytes, ended }: { readonly bytes: number; readonly ended: boolean },
): PortSight {
  if (hostKey !== null) {
    const seenHostKey = fingerprint(hostKey);
    if (recorded === undefined) return { verified: 'unknown', seenHostKey, trouble: null };
    if (recorded === seenHostKey) return { verified: 'yes', seenHostKey, trouble: null };
    const message = `another machine answers: its host key is ${seenHostKey}, and ${recorded} was recorded (server-setup run again records a new one)`;
    return { verified: 'no', seenHostKey, trouble: { code: 'other-host-key', message } };
  }
  if (bytes === 0 && (ended || recorded !== undefined)) {
    const message = `the port is open, and nothing answers behind it (${error}): see tunneld status on the device`;
    return { verified: 'no', trouble: { code: 'no-answer', message } };
  }
  if (recorded === undefined) return { verified: 'unknown', trouble: null };
  const what = software === '' ? 'no SSH server answers' : `${software} answers, without a host key`;
  return { verified: 'no', trouble: { code: 'no-ssh', message: `${what} (${error})` } };
}
