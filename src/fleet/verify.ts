import { fingerprint } from '../connection/known-hosts/key-blob.ts';
import type { Channel, SshConnection } from '../connection/ssh/connection.ts';
import type { X25519 } from '../connection/ssh2/kex/x25519.ts';
import { proveHostKey } from '../connection/ssh2/prove-host-key.ts';
import { type Scan, scanServer } from '../connection/ssh2/scan.ts';
import { abortable } from '../lib/async/abort.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import { firstToEnd, waitFor } from '../lib/async/scope.ts';
import { printable } from '../lib/text.ts';
import { asFailure } from '../model/failure.ts';
import { isWildcardHost } from '../model/endpoint.ts';
import { adaptStreams } from '../net/streams/stream-adapter.ts';
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
 * lets this login connect to no port, `late` where it answers neither yes nor no, or the device's sshd takes no more connections: then nothing
 * is known of the device. `own` may serve for any number of ports.
 */
export async function lookAtPort(
  connection: Pick<SshConnection, 'open'>,
  device: FleetDevice,
  own: X25519,
  clock: Clock,
  signal: AbortSignal,
): Promise<PortSight | 'forbidden' | 'late'> {
  for (let visits = 1; ; visits += 1) {
    const sight = await lookOnce(connection, device, own, clock, signal);
    if (sight !== 'turned away') return sight;
    if (visits === VISITS) return 'late';
    await sleep(clock, TURNED_AWAY_MS, signal);
  }
}

/** Several ports may lead to one sshd, which takes ten connections at once. */
const VISITS = 4;
const TURNED_AWAY_MS = 500;

async function lookOnce(
  { open }: Pick<SshConnection, 'open'>,
  device: FleetDevice,
  own: X25519,
  clock: Clock,
  signal: AbortSignal,
): Promise<PortSight | 'forbidden' | 'late' | 'turned away'> {
  const half = { own, hostKeyAlgorithms: PLAIN_HOST_KEY_ALGORITHMS };
  const first = await visitPort(open, device, clock, signal, (channel) =>
    proveHostKey(channel, half, PATIENCE_MS, clock, signal),
  );
  if (!('greeting' in first)) return first.unseen;
  const { greeting, hostKey, isLate } = first;
  if (hostKey !== null) return judge(greeting, { hostKey, error: '' }, device.hostKey);
  if (TURNED_AWAY.test(greeting?.toString('latin1') ?? '')) return 'turned away';
  if (greeting?.subarray(0, SSH.length).equals(SSH) !== true) return judge(greeting, null, device.hostKey);
  if (isLate) return judge(greeting, { hostKey, error: `no host key within ${PATIENCE_MS / 1000} s` }, device.hostKey);
  // What has no curve25519-sha256 is visited again, with all that ssh2 has.
  const second = await visitPort(open, device, clock, signal, (channel) => scanFully(channel, clock, signal));
  return 'unseen' in second ? second.unseen : judge(greeting, second, device.hostKey);
}

const SSH = Buffer.from('SSH-');

/** What OpenSSH's sshd.c says in the place of its identification: MaxStartups, and PerSourcePenalties (sshd_config(5)). */
const TURNED_AWAY = /^(?:Exceeded MaxStartups|Not allowed at this time)\r?\n/;

async function visitPort<T extends object>(
  open: SshConnection['open'],
  { host, port }: FleetDevice,
  clock: Clock,
  signal: AbortSignal,
  look: (channel: Channel) => Promise<T>,
): Promise<T | { readonly unseen: PortSight | 'forbidden' | 'late' }> {
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
    const unseen =
      code === 'target-unreachable'
        ? ({ verified: 'no', trouble: { code: 'no-answer', message } } as const)
        : 'forbidden';
    return { unseen };
  }
  if (channel === null) return { unseen: 'late' };
  try {
    return await look(channel);
  } finally {
    channel.close();
  }
}

function scanFully(channel: Channel, clock: Clock, signal: AbortSignal): Promise<Scan> {
  const stream = adaptStreams({ readable: channel, writable: channel, close: () => channel.close() });
  return abortable(scanServer(stream, PATIENCE_MS, clock, PLAIN_HOST_KEY_ALGORITHMS, 'proven'), signal);
}

const PATIENCE_MS = 5000;

/** A full queue of connections at a listener of the server's keeps its sshd waiting for minutes (tcp_syn_retries in tcp(7)). */
const OPEN_MS = 10_000;

/** Pure. `scan` is null for what is no SSH server. A port without a recorded key may lead to anything that takes connections. */
export function judge(
  greeting: Buffer | null,
  scan: Pick<Scan, 'hostKey' | 'error'> | null,
  recorded: string | undefined,
): PortSight {
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
