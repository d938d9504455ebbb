import { SIGNATURE_ALGORITHMS } from '../../model/host-key-algorithms.ts';

/** The keys that choose algorithms, named as in ssh_config(5). */
export type AlgorithmKey = 'ciphers' | 'kexAlgorithms' | 'macs' | 'hostKeyAlgorithms';

interface Algorithms {
  /** The singular, for messages. */
  readonly noun: string;
  /** The default, in order of preference, which `+`, `-` and `^` modify. */
  readonly defaults: readonly string[];
  /** Supported, but offered only where the user asks for it. */
  readonly others: readonly string[];
}

/** The default algorithms. `aes`: whether the processor has instructions for AES. */
export function defaultAlgorithms(key: AlgorithmKey, aes: boolean): readonly string[] {
  const { defaults } = ALGORITHMS[key];
  if (key !== 'ciphers' || aes) return defaults;
  return [CHACHA, ...defaults.filter((name) => name !== CHACHA)];
}

const CHACHA = 'chacha20-poly1305@openssh.com';

/** The algorithms of ssh2. The order of the ciphers is for a processor with instructions for AES. */
export const ALGORITHMS: Readonly<Record<AlgorithmKey, Algorithms>> = {
  ciphers: {
    noun: 'cipher',
    defaults: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr', CHACHA],
    others: ['aes256-cbc', 'aes192-cbc', 'aes128-cbc', '3des-cbc', 'aes128-gcm', 'aes256-gcm'],
  },
  kexAlgorithms: {
    noun: 'key exchange',
    defaults: [
      'curve25519-sha256@libssh.org',
      'curve25519-sha256',
      'ecdh-sha2-nistp256',
      'ecdh-sha2-nistp384',
      'ecdh-sha2-nistp521',
      'diffie-hellman-group-exchange-sha256',
      'diffie-hellman-group14-sha256',
      'diffie-hellman-group15-sha512',
      'diffie-hellman-group16-sha512',
      'diffie-hellman-group17-sha512',
      'diffie-hellman-group18-sha512',
    ],
    others: ['diffie-hellman-group-exchange-sha1', 'diffie-hellman-group14-sha1', 'diffie-hellman-group1-sha1'],
  },
  macs: {
    noun: 'MAC',
    defaults: [
      'hmac-sha2-256-etm@openssh.com',
      'hmac-sha2-512-etm@openssh.com',
      'hmac-sha1-etm@openssh.com',
      'hmac-sha2-256',
      'hmac-sha2-512',
      'hmac-sha1',
    ],
    others: ['hmac-md5', 'hmac-sha2-256-96', 'hmac-sha2-512-96', 'hmac-ripemd160', 'hmac-sha1-96', 'hmac-md5-96'],
  },
  hostKeyAlgorithms: {
    noun: 'host key algorithm',
    defaults: SIGNATURE_ALGORITHMS,
    others: ['ssh-dss'],
  },
};
