import { fingerprint } from '../connection/known-hosts/key-blob.ts';
import type { Channel, SshConnection } from '../connection/ssh/connection.ts';
import { type Scan, scanServer } from '../connection/ssh2/scan.ts';
import { abortable } from '../lib/async/abort.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import { firstToEnd, waitFor } from '../lib/async/scope.ts';
import { printable } from '../lib/text.ts';
import { peek } from '../net/peek-stream.ts';
import { asFailure } from '../model/failure.ts';
import { isWildcardHost } from '../model/endpoint.ts';
import { adaptStreams } from '../net/stream-adapter.ts';
import type { FleetDevice, FleetTrouble } from './document.ts';
import { PLAIN_HOST_KEY_ALGORITHMS } from '../model/algorithms.ts';

/** What was seen at a port of a device. */
export interface PortSight {
  readonly verified: FleetDevice['verified'];
  readonly seenHostKey?: string;
  readonly trouble: FleetTrouble | null;
}

/**
 * Connects to the port as a visitor does, through the server, and compares the host key with the recorded one. `forbidden` where the server
 * lets this login connect to no port, `late` where it answers neither yes nor no: then nothing is known of the device.
 */
export async function lookAtPort(
  { open }: Pick<SshConnection, 'open'>,
  device: FleetDevice,
  clock: Clock,
  signal: AbortSignal,
): Promise<PortSight | 'forbidden' | 'late'> {
  const { host, port, hostKey } = device;
  const endpoint = {
    type: 'tcp',
    host: host === null || isWildcardHost(host) ? 'localhost' : host,
    port: port!,
  } as const;
  let channel: Channel | null;
  try {
    channel = await firstToEnd<Channel | null>(
      signal,
      [
        waitFor(open(endpoint, { address: '127.0.0.1', port: 0 }), (late) => late.close()),
        (over) => sleep(clock, OPEN_MS, over).then(() => null),
      ],
      (late) => late?.close(),
    );
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = asFailure(error);
    if (code !== 'target-unreachable') return 'forbidden';
    return { verified: 'no', trouble: { code: 'no-answer', message } };
  }
  if (channel === null) return 'late';
  try {
    const greeting = await greetingOf(channel, clock, signal);
    const isSsh = greeting?.subarray(0, 4).equals(SSH) === true;
    if (!isSsh) return judge(greeting, null, hostKey);
    const stream = adaptStreams({ readable: channel, writable: channel, close: () => channel.close() });
    const scan = scanServer(stream, PATIENCE_MS, clock, PLAIN_HOST_KEY_ALGORITHMS, 'proven');
    return judge(greeting, await abortable(scan, signal), hostKey);
  } finally {
    channel.close();
  }
}

const SSH = Buffer.from('SSH-');

/** An SSH server speaks first (RFC 4253 section 4.2). Null for silence, empty where the connection ends. */
function greetingOf(channel: Channel, clock: Clock, signal: AbortSignal): Promise<Buffer | null> {
  return firstToEnd<Buffer | null>(signal, [
    (over) => peek(channel, 256, (seen) => seen.includes('\n'), over),
    (over) => sleep(clock, PATIENCE_MS, over).then(() => null),
  ]);
}

const PATIENCE_MS = 5000;

/** A full queue of connections at a listener of the server's keeps its sshd waiting for minutes (tcp_syn_retries in tcp(7)). */
const OPEN_MS = 10_000;

/** Pure. `scan` is null for what is no SSH server. A port without a recorded key may lead to anything that takes connections. */
export function judge(greeting: Buffer | null, scan: Scan | null, recorded: string | undefined): PortSight {
  if (greeting?.length === 0 || (greeting === null && recorded !== undefined)) {
    const how = greeting === null ? 'says nothing' : 'ends each connection';
    const message = `the port is open, but ${how}, as where its target does not answer: see tunneld status on the device`;
    return { verified: 'no', trouble: { code: 'no-answer', message } };
  }
  const hostKey = scan?.hostKey ?? null;
  const seen = hostKey === null ? {} : { seenHostKey: fingerprint(hostKey) };
  if (recorded === undefined) return { verified: 'unknown', ...seen, trouble: null };
  if (seen.seenHostKey === recorded) return { verified: 'yes', ...seen, trouble: null };
  if (seen.seenHostKey !== undefined) {
    const message = `another machine answers: its host key is ${seen.seenHostKey}, and ${recorded} was recorded (server-setup run again records a new one)`;
    return { verified: 'no', ...seen, trouble: { code: 'other-host-key', message } };
  }
  const line = printable(greeting?.toString('latin1').split(/[\r\n]/, 1)[0] ?? '', 60);
  const message = `no SSH server answers that has a host key: it says ${JSON.stringify(line)}${scan === null ? '' : ` (${scan.error})`}`;
  return { verified: 'no', trouble: { code: 'no-ssh', message } };
}
