import {
  CA_SIGNATURE_ALGORITHMS,
  DEFAULT_CIPHERS,
  DEFAULT_HOST_KEY_ALGORITHMS,
  DEFAULT_KEX_ALGORITHMS,
  DEFAULT_MACS,
} from '../../model/algorithms.ts';

/** The keys that choose algorithms, named as in ssh_config(5). */
export type AlgorithmKey = 'ciphers' | 'kexAlgorithms' | 'macs' | 'hostKeyAlgorithms' | 'caSignatureAlgorithms';

interface Algorithms {
  /** The singular, for messages. */
  readonly noun: string;
  /** The default, in order of preference, which `+`, `-` and `^` modify. */
  readonly defaults: readonly string[];
  /** Supported, but offered only where the user asks for it. */
  readonly others: readonly string[];
  /** Whether ssh takes names with * and ? in such a list. */
  readonly patterns?: true;
}

/** The default algorithms. `aes`: whether the processor has instructions for AES. */
export function defaultAlgorithms(key: AlgorithmKey, aes: boolean): readonly string[] {
  const { defaults } = ALGORITHMS[key];
  if (key !== 'ciphers' || aes) return defaults;
  return [CHACHA, ...defaults.filter((name) => name !== CHACHA)];
}

const CHACHA = 'chacha20-poly1305@openssh.com';

/** The algorithms of ssh2, and those that we add (src/connection/ssh2/kex, host-keys.ts beside it). */
export const ALGORITHMS: Readonly<Record<AlgorithmKey, Algorithms>> = {
  ciphers: {
    noun: 'cipher',
    defaults: DEFAULT_CIPHERS,
    others: ['aes256-cbc', 'aes192-cbc', 'aes128-cbc', '3des-cbc', 'aes128-gcm', 'aes256-gcm'],
  },
  kexAlgorithms: {
    noun: 'key exchange',
    defaults: DEFAULT_KEX_ALGORITHMS,
    others: ['diffie-hellman-group-exchange-sha1', 'diffie-hellman-group14-sha1', 'diffie-hellman-group1-sha1'],
  },
  macs: {
    noun: 'MAC',
    defaults: DEFAULT_MACS,
    others: ['hmac-md5', 'hmac-sha2-256-96', 'hmac-sha2-512-96', 'hmac-ripemd160', 'hmac-sha1-96', 'hmac-md5-96'],
  },
  hostKeyAlgorithms: {
    noun: 'host key algorithm',
    defaults: DEFAULT_HOST_KEY_ALGORITHMS,
    others: ['ssh-rsa', 'ssh-dss'],
    patterns: true,
  },
  caSignatureAlgorithms: {
    noun: 'signature algorithm',
    defaults: CA_SIGNATURE_ALGORITHMS,
    others: ['ssh-rsa'],
    patterns: true,
  },
};
