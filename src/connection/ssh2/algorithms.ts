import type { Algorithms } from 'ssh2';
import { SIGNATURE_ALGORITHMS } from '../../model/host-key-algorithms.ts';
import type { ServerSpec } from '../../model/spec.ts';

/**
 * The algorithms to offer: the configured lists, and host key algorithms with the types of the host's known keys first.
 */
export function algorithms(spec: ServerSpec, knownKeyTypes: readonly string[]): Algorithms {
  return {
    serverHostKey: knownFirst(spec.hostKeyAlgorithms ?? SIGNATURE_ALGORITHMS, knownKeyTypes),
    // In the order of ssh (readconf.c): compression that starts after the login comes first.
    compress: spec.compression ? ['zlib@openssh.com', 'zlib', 'none'] : ['none'],
    ...(spec.ciphers === null ? {} : { cipher: spec.ciphers }),
    ...(spec.kexAlgorithms === null ? {} : { kex: spec.kexAlgorithms }),
    ...(spec.macs === null ? {} : { hmac: spec.macs }),
  } as Algorithms;
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
