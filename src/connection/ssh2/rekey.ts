import type { Client } from 'ssh2';
import type { Clock } from '../../lib/async/clock.ts';
import type { RekeyLimit } from '../../model/spec.ts';
import { internalsOf } from './protocol/internals.ts';
import type { SshStream } from '../../net/stream-adapter.ts';

/**
 * Begins a rekey after so many bytes or so long (ssh_config(5), RekeyLimit). Checks whenever data comes from the
 * server, which an idle connection's keepalive ensures: it needs no timer. ssh2 itself never begins a rekey.
 */
export function rekeyAfter(client: Client, stream: SshStream, { bytes, ms }: RekeyLimit, clock: Clock): void {
  const { _protocol: protocol } = internalsOf(client);
  let read = 0;
  let since = { bytes: 0, at: clock.now() };
  let asked = false;
  client.on('handshake', () => {
    asked = false;
    since = { bytes: read + stream.bytesWritten, at: clock.now() };
  });
  stream.on('data', (chunk: Buffer) => {
    read += chunk.length;
    const due =
      (bytes !== null && read + stream.bytesWritten - since.bytes >= bytes) ||
      (ms !== null && clock.now() - since.at >= ms);
    if (!due || asked) return;
    asked = true;
    // Not within the parser's work on this chunk.
    setImmediate(() => {
      if (!stream.destroyed) protocol.rekey();
    });
  });
}
