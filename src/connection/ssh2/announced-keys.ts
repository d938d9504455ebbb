import { MAX_ANNOUNCED_KEYS } from '../known-hosts/host-key-verifier.ts';
import type { Client } from 'ssh2';

/**
 * Drops a list of host keys (OpenSSH's hostkeys-00, PROTOCOL section 2.5) that no honest server sends: ssh2 would ask the server to
 * prove every one and verify all the signatures at once. To be called right after client.connect(). `onTooMany` is told how many.
 */
export function limitAnnouncedKeys(client: Client, onTooMany: (count: number) => void): void {
  const { _handlers: handlers } = (client as unknown as { readonly _protocol: { readonly _handlers: Handlers } })
    ._protocol;
  const handle = handlers.GLOBAL_REQUEST;
  handlers.GLOBAL_REQUEST = (protocol, name, wantReply, data) => {
    if (name !== 'hostkeys-00@openssh.com' || !Array.isArray(data) || data.length <= MAX_ANNOUNCED_KEYS) {
      handle(protocol, name, wantReply, data);
      return;
    }
    onTooMany(data.length);
    // Refused as any request that is not known (RFC 4254 section 4).
    if (wantReply) protocol.requestFailure();
  };
}

/** The table by which ssh2's Protocol tells its client what came. */
interface Handlers {
  GLOBAL_REQUEST: (protocol: { requestFailure(): void }, name: string, wantReply: boolean, data: unknown) => void;
}
