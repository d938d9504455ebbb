/** The ciphers offered where none are configured, in order of preference for a processor with instructions for AES. */
export const DEFAULT_CIPHERS: readonly string[] = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
  'chacha20-poly1305@openssh.com',
];

/** What a quantum computer does not break, each beside X25519: draft-ietf-sshm-mlkem-hybrid-kex, RFC 9941. */
const POST_QUANTUM: readonly string[] = [
  'mlkem768x25519-sha256',
  'sntrup761x25519-sha512',
  'sntrup761x25519-sha512@openssh.com',
];

/** The same for key exchanges, in the order of OpenSSH 10, but of the groups the one first that costs a small computer least. */
export const DEFAULT_KEX_ALGORITHMS: readonly string[] = [
  ...POST_QUANTUM,
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp384',
  'ecdh-sha2-nistp521',
  'diffie-hellman-group-exchange-sha256',
  'diffie-hellman-group14-sha256',
  'diffie-hellman-group15-sha512',
  'diffie-hellman-group16-sha512',
  'diffie-hellman-group17-sha512',
  'diffie-hellman-group18-sha512',
];

/** The same for message authentication codes. */
export const DEFAULT_MACS: readonly string[] = [
  'hmac-sha2-256-etm@openssh.com',
  'hmac-sha2-512-etm@openssh.com',
  'hmac-sha1-etm@openssh.com',
  'hmac-sha2-256',
  'hmac-sha2-512',
  'hmac-sha1',
];

/** Host keys with a certificate (PROTOCOL.certkeys of OpenSSH), offered only where known_hosts names an authority for the host. */
export const HOST_CERTIFICATE_ALGORITHMS: readonly string[] = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'ecdsa-sha2-nistp384-cert-v01@openssh.com',
  'ecdsa-sha2-nistp521-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
  'rsa-sha2-256-cert-v01@openssh.com',
];

/** Host keys without one. Without `ssh-rsa`, which is a signature with SHA-1; OpenSSH stopped offering it with 8.8. */
export const PLAIN_HOST_KEY_ALGORITHMS: readonly string[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

/** Host key algorithms in the order of OpenSSH. */
export const DEFAULT_HOST_KEY_ALGORITHMS: readonly string[] = [
  ...HOST_CERTIFICATE_ALGORITHMS,
  ...PLAIN_HOST_KEY_ALGORITHMS,
];

/** Keys on FIDO hardware (PROTOCOL.u2f of OpenSSH), with which only an agent signs. */
const SECURITY_KEY_ALGORITHMS: readonly string[] = ['sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com'];

/** How an authority may sign a certificate. */
export const CA_SIGNATURE_ALGORITHMS: readonly string[] = [...PLAIN_HOST_KEY_ALGORITHMS, ...SECURITY_KEY_ALGORITHMS];

/** The algorithms by which keys of a user can sign, in order of preference; those of certificates have the names of PROTOCOL.certkeys. */
export const SIGNATURE_ALGORITHMS: readonly string[] = [
  ...[...PLAIN_HOST_KEY_ALGORITHMS, ...SECURITY_KEY_ALGORITHMS].flatMap((name) => [certificateName(name), name]),
  'ssh-rsa',
];

/** The algorithm of a certificate, by that of the key in it. */
export function certificateName(keyAlgorithm: string): string {
  return `${keyAlgorithm.replace(/@openssh\.com$/, '')}-cert-v01@openssh.com`;
}

/** Whether a recording of the connection stays secret when there are quantum computers. */
export function isPostQuantum(keyExchange: string): boolean {
  return POST_QUANTUM.includes(keyExchange);
}
