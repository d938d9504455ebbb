import { getCiphers } from 'node:crypto';
import type { Algorithms } from 'ssh2';
import {
  DEFAULT_CIPHERS,
  DEFAULT_HOST_KEY_ALGORITHMS,
  DEFAULT_KEX_ALGORITHMS,
  DEFAULT_MACS,
} from '../../model/algorithms.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { canExchange } from './kex/hybrid.ts';

/**
 * The algorithms to offer: the configured lists, and host key algorithms with the types of the host's known keys first.
 */
export function algorithms(spec: ServerSpec, knownKeyTypes: readonly string[]): Algorithms {
  return {
    serverHostKey: knownFirst(spec.hostKeyAlgorithms ?? DEFAULT_HOST_KEY_ALGORITHMS, knownKeyTypes),
    // In the order of ssh (readconf.c): compression that starts after the login comes first.
    compress: spec.compression ? ['zlib@openssh.com', 'zlib', 'none'] : ['none'],
    cipher: spec.ciphers ?? DEFAULT_CIPHERS.filter(isBuiltIn),
    kex: keyExchanges(spec.kexAlgorithms ?? DEFAULT_KEX_ALGORITHMS),
    hmac: spec.macs ?? DEFAULT_MACS,
  } as Algorithms;
}

/** What a scan for host keys offers: `hostKeyTypes`, and all else that is good today. */
export function algorithmsToScan(hostKeyTypes: readonly string[] = DEFAULT_HOST_KEY_ALGORITHMS): Algorithms {
  return { serverHostKey: hostKeyTypes, kex: keyExchanges(DEFAULT_KEX_ALGORITHMS) } as Algorithms;
}

/** Whether Node's OpenSSL has the cipher: one for FIPS 140 lacks some. */
function isBuiltIn(cipher: string): boolean {
  return getCiphers().includes(
    cipher.startsWith('chacha20-') ? 'chacha20' : cipher.replace(/^aes(\d+)-(ctr|gcm).*$/, 'aes-$1-$2'),
  );
}

function keyExchanges(wanted: readonly string[]): readonly string[] {
  const possible = wanted.filter(canExchange);
  return possible.length === 0 ? wanted : possible;
}

/**
 * As OpenSSH does (order_hostkeyalgs in sshconnect2.c): otherwise a host known by its ed25519 key may show its RSA key.
 */
function knownFirst(wanted: readonly string[], knownKeyTypes: readonly string[]): string[] {
  const known = (algorithm: string) => knownKeyTypes.includes(keyTypeOf(algorithm));
  return [...wanted.filter(known), ...wanted.filter((algorithm) => !known(algorithm))];
}

/** rsa-sha2-256 and rsa-sha2-512 are signatures by a key of type ssh-rsa (RFC 8332). */
function keyTypeOf(algorithm: string): string {
  return algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm;
}
