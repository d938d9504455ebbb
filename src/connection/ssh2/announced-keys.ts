import ssh2 from '#ssh2';
import type { Client } from 'ssh2';
import { internalsOf } from './protocol/internals.ts';
import { MAX_ANNOUNCED_KEYS } from '../known-hosts/update-host-keys.ts';
import { keyTypeOf, rsaExponent } from '../known-hosts/key-blob.ts';

/**
 * Drops a list of host keys (OpenSSH's hostkeys-00, PROTOCOL section 2.5) that no honest server sends: ssh2 would read
 * all of them, ask the server to prove every one and verify all the signatures at once. Also leaves out unusual keys
 * whose verification takes long. `onTooMany` gets the number of keys. Call right after client.connect().
 */
export function limitAnnouncedKeys(client: Client, onTooMany: (count: number) => void): void {
  const { _protocol: protocol } = internalsOf(client);
  const { _handlers: handlers } = protocol;
  const handle = handlers.GLOBAL_REQUEST;
  let named = 0;
  protocol.readHostKey = (blob) => {
    named += 1;
    if (named > MAX_ANNOUNCED_KEYS) return LEFT_OUT;
    return isQuicklyVerified(blob) ? ssh2.utils.parseKey(blob) : LEFT_OUT;
  };
  handlers.GLOBAL_REQUEST = (self, name, wantReply, data) => {
    const count = named;
    named = 0;
    if (count <= MAX_ANNOUNCED_KEYS) {
      handle(self, name, wantReply, data);
      return;
    }
    onTooMany(count);
    // Refused like any unknown request (RFC 4254 section 4).
    if (wantReply) protocol.requestFailure();
  };
}

const LEFT_OUT = new Error('not read');

/**
 * A DSA signature with large numbers takes 30 ms to verify, and RSA grows with its exponent, which is 65537 in
 * practice.
 */
function isQuicklyVerified(blob: Buffer): boolean {
  if (keyTypeOf(blob) === 'ssh-dss') return false;
  const exponent = rsaExponent(blob);
  return exponent === null || exponent.length <= MAX_EXPONENT_BYTES;
}

/** Including the byte for the sign. */
const MAX_EXPONENT_BYTES = 4;
