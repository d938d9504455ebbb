import type { Client } from 'ssh2';
import { internalsOf, type PacketReader, type PacketWriter } from './protocol/internals.ts';

/**
 * Guards ssh2's compression: after the connection is lost its writer throws at any write, instead of dropping the data
 * as the plain one does; and its reader inflates a small packet to any size. Call right after client.connect(), before
 * compression starts.
 */
export function guardCompression(client: Client): void {
  const { _protocol: protocol } = internalsOf(client);
  const { _destruct: destruct } = protocol;
  let ended = false;
  protocol._destruct = (reason) => {
    ended = true;
    destruct?.call(protocol, reason);
  };
  let reading = protocol._packetRW.read;
  let writing = protocol._packetRW.write;
  Object.defineProperty(protocol._packetRW, 'read', {
    get: () => reading,
    set: (next: PacketReader) => {
      if (next._zlib !== undefined) next._zlib._maxOutputLength = MAX_PACKET;
      reading = next;
    },
  });
  Object.defineProperty(protocol._packetRW, 'write', {
    get: () => writing,
    set: (next: PacketWriter) => {
      const { finalize } = next;
      next.finalize = (packet, force) => (ended ? packet : finalize.call(next, packet, force));
      writing = next;
    },
  });
}

/** Far above the 32 KiB that ssh2 lets a server send in one packet (RFC 4253 section 6.1). */
const MAX_PACKET = 256 * 1024;
