import type { Client } from 'ssh2';
import { internalsOf, type PacketReader, type PacketWriter } from './protocol/internals.ts';

/**
 * Makes ssh2's compression bearable: after the connection is lost its writer throws at whoever still writes, instead of dropping
 * what cannot go anywhere as the plain one does; and its reader takes whatever a small packet blows up to. To be called right
 * after client.connect(), before compression starts.
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
