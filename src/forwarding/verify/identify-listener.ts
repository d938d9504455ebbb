import { firstToEnd } from '../../lib/async/scope.ts';
import { sleep } from '../../lib/async/clock.ts';
import { printable } from '../../lib/text.ts';
import { fingerprint, keyTypeOf } from '../../connection/known-hosts/key-blob.ts';
import { connectToListener, type VerifyDeps } from './connect-to-listener.ts';
import { peek } from '../../net/streams/peek-stream.ts';
import { CLOSES, type OtherProgram, SILENT } from './results.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Channel } from '../../connection/ssh/connection.ts';
import { scanServer } from '../../connection/ssh2/scan.ts';
import { adaptStreams } from '../../net/streams/stream-adapter.ts';

/**
 * Identifies a program by its first line, on a connection to its address. An SSH server shows its host key on a second connection, which
 * did not begin with a nonce. `sendEnd`: whether to send EOF to a program that sends nothing; one that lives answers to that.
 */
export async function identifyListener(
  listen: Endpoint,
  address: Endpoint,
  channel: Channel,
  sendEnd: boolean,
  deps: VerifyDeps,
  signal: AbortSignal,
): Promise<OtherProgram> {
  const { clock, ownKeys } = deps;
  const firstBytes = () => {
    const firstLine = (over: AbortSignal) => peek(channel, 256, (seen) => seen.includes('\n'), over);
    const enough = (over: AbortSignal) => sleep(clock, SILENT_MS, over).then(() => null);
    return firstToEnd<Buffer | null>(signal, [firstLine, enough]);
  };
  let bytes = await firstBytes();
  if (bytes === null && sendEnd) {
    channel.end();
    bytes = await firstBytes();
  }
  const other = { type: 'other', answered: true, alive: true, hostKey: null, own: false } as const;
  // A program that ends the connection lives: a server ends none for a dead client.
  if (bytes === null || bytes.length === 0)
    return { ...other, who: bytes === null ? SILENT : CLOSES, answered: false, alive: bytes !== null };
  const line = printable(bytes.toString('latin1').split(/[\r\n]/, 1)[0] ?? '', 60);
  if (!line.startsWith('SSH-')) return { ...other, who: `it says ${line}` };
  const fresh = await connectToListener(address, deps, signal);
  const stream = adaptStreams({ readable: fresh, writable: fresh, close: () => fresh.close() });
  const { hostKey } = await scanServer(stream, SCAN_MS, clock);
  if (hostKey === null) return { ...other, who: `an SSH server (${line})` };
  const { keys, complete } = await ownKeys(listen, keyTypeOf(hostKey));
  const own = keys.some((key) => key.equals(hostKey));
  if (!own && !complete) return { ...other, who: `an SSH server (${line}, host key ${fingerprint(hostKey)})` };
  const who = own ? OURSELVES : `an SSH server, but not this device's (${line}, host key ${fingerprint(hostKey)})`;
  return { ...other, who, hostKey: fingerprint(hostKey), own };
}

const OURSELVES =
  "an SSH server with this device's own host key: another tunnel of it lives, or another device has the same keys (a cloned card?)";

const SILENT_MS = 1500;
const SCAN_MS = 5000;
