import type { Client, NegotiatedAlgorithms } from 'ssh2';
import type { Clock } from '../../lib/async/clock.ts';
import type { RekeyLimit } from '../../model/spec.ts';
import { internalsOf } from './protocol/internals.ts';
import { onBytes } from '../../net/streams/lent-memory.ts';
import { bytesWrittenTo } from '../../net/streams/send-past.ts';
import type { SshStream } from '../../net/streams/stream-adapter.ts';

/**
 * Begins a rekey after so many bytes in one direction, or so long (ssh_config(5), RekeyLimit): ssh2 itself never does.
 * Without a limit, and at the latest, when ssh does: RFC 4253 section 9 asks for it, and the nonce of ChaCha20 is a
 * packet number that begins anew after 2^32. The time has a timer, where it is limited; the bytes are looked at when some
 * come from the server. Call forget() when the connection has ended.
 */
export function rekeyAfter(
  client: Client,
  stream: SshStream,
  limit: RekeyLimit | null,
  clock: Clock,
): { forget(): void } {
  const { _protocol: protocol } = internalsOf(client);
  let read = 0;
  let due = { read: Infinity, written: Infinity };
  let agreed: NegotiatedAlgorithms | null = null;
  let loggedIn = false;
  let cancel = () => {};
  const begin = () => {
    due = { read: Infinity, written: Infinity };
    cancel();
    // Not within the parser's work on a chunk.
    setImmediate(() => {
      if (!stream.destroyed && !stream.writableEnded) protocol.rekey();
    });
  };
  const restart = () => {
    // As ssh (ssh_packet_need_rekeying in packet.c): compression starts with the login, and must not do so in between.
    if (!loggedIn || agreed === null) return;
    cancel();
    if (limit?.ms) cancel = clock.timer(limit.ms, begin);
    due = {
      read: read + bytesFor(agreed.sc.cipher, limit),
      written: bytesWrittenTo(stream) + bytesFor(agreed.cs.cipher, limit),
    };
  };
  client.on('handshake', (algorithms: NegotiatedAlgorithms) => {
    agreed = algorithms;
    restart();
  });
  client.once('ready', () => {
    loggedIn = true;
    restart();
  });
  onBytes(stream, (bytes) => {
    read += bytes;
    if (read >= due.read || bytesWrittenTo(stream) >= due.written) begin();
  });
  return { forget: () => cancel() };
}

/** As ssh_set_newkeys in OpenSSH's packet.c (RFC 4344 section 3.2): 2^32 blocks of 16 bytes, and 1 GiB with smaller blocks. */
function bytesFor(cipher: string, limit: RekeyLimit | null): number {
  const most = cipher.startsWith('aes') ? 2 ** 32 * 16 : 2 ** 30;
  return Math.min(limit?.bytes ?? most, most);
}
