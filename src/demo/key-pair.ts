import ssh2 from '#ssh2';

/** A new key pair in OpenSSH's formats. */
export interface KeyPair {
  readonly public: string;
  readonly private: string;
}

/**
 * Makes one that can be read again. ssh2 drops the zero bytes that a public key begins with, which one of 256 has, and what is left is no key
 * (parseDERs in its keygen.js): such a pair is made anew.
 */
export function newKeyPair(comment = '', make: (comment: string) => KeyPair = makeByLibrary): KeyPair {
  for (;;) {
    const pair = make(comment);
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair;
  }
}

function makeByLibrary(comment: string): KeyPair {
  return ssh2.utils.generateKeyPairSync('ed25519', { comment });
}
