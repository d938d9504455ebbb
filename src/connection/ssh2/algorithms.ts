import { getCiphers } from 'node:crypto';
import type { Algorithms } from 'ssh2';
import {
  DEFAULT_CIPHERS,
  DEFAULT_HOST_KEY_ALGORITHMS,
  DEFAULT_KEX_ALGORITHMS,
  DEFAULT_MACS,
  isPostQuantum,
  PLAIN_HOST_KEY_ALGORITHMS,
} from '../../model/algorithms.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { HostKeyVerifier } from '../known-hosts/host-key-verifier.ts';
import { isCertificateType } from '../known-hosts/key-blob.ts';
import { canExchange } from './kex/hybrid.ts';

/** What known_hosts has of a host. */
type Known = Pick<HostKeyVerifier, 'knownKeyTypes' | 'certified'>;

/**
 * The algorithms to offer: the configured lists, and host key algorithms with the types of the host's known keys first.
 */
export function algorithms(spec: ServerSpec, known: Known): Algorithms {
  return {
    serverHostKey: knownFirst(offeredTo(known, spec.hostKeyAlgorithms ?? DEFAULT_HOST_KEY_ALGORITHMS), known),
    // In the order of ssh (readconf.c): compression that starts after the login comes first.
    compress: spec.compression ? ['zlib@openssh.com', 'zlib', 'none'] : ['none'],
    cipher: spec.ciphers ?? DEFAULT_CIPHERS.filter(isBuiltIn),
    kex: keyExchanges(spec.kexAlgorithms ?? DEFAULT_KEX_ALGORITHMS),
    hmac: spec.macs ?? DEFAULT_MACS,
  } as Algorithms;
}

/**
 * What a scan for host keys offers: `hostKeyTypes`, and all else that is good today. It ends before anything is said that has to stay
 * secret: so the exchanges that resist a quantum computer, which cost twenty times as much, come last.
 */
export function algorithmsToScan(hostKeyTypes: readonly string[] = PLAIN_HOST_KEY_ALGORITHMS): Algorithms {
  const [costly, cheap] = [true, false].map((is) => DEFAULT_KEX_ALGORITHMS.filter((one) => isPostQuantum(one) === is));
  return { serverHostKey: hostKeyTypes, kex: keyExchanges([...cheap!, ...costly!]) } as Algorithms;
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

/** No certificates where none could be checked, unless nothing else is allowed. */
function offeredTo({ certified }: Known, wanted: readonly string[]): readonly string[] {
  const plain = wanted.filter((algorithm) => !isCertificateType(algorithm));
  return certified || plain.length === 0 ? wanted : plain;
}

/**
 * As OpenSSH does (order_hostkeyalgs in sshconnect2.c): otherwise a host known by its ed25519 key may show its RSA key.
 */
function knownFirst(wanted: readonly string[], { knownKeyTypes }: Known): string[] {
  const known = (algorithm: string) => isCertificateType(algorithm) || knownKeyTypes.includes(keyTypeOf(algorithm));
  return [...wanted.filter(known), ...wanted.filter((algorithm) => !known(algorithm))];
}

/** rsa-sha2-256 and rsa-sha2-512 are signatures by a key of type ssh-rsa (RFC 8332). */
function keyTypeOf(algorithm: string): string {
  return algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm;
}
