import { ml_kem768 as mlKem } from '@noble/post-quantum/ml-kem.js';
import { createHash, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { rawPublicKey } from '../../src/connection/ssh/raw-key.ts';
import type { Connection } from '#ssh2';
import { PUBLIC_KEY_BYTES } from '../../src/connection/ssh2/kex/ml-kem.ts';
import { encapsulate } from './sntrup761-server.ts';

/** What becomes of the server's half of the exchange. */
export type Change = (answer: Buffer) => Buffer;

/** Lets a server in this process answer the hybrid key exchanges. */
export function answerHybrid(connection: Connection, change: Change = (answer) => answer): void {
  const { _protocol: protocol } = connection as unknown as { _protocol: ServerProtocol };
  protocol.openHybrid = (exchange, name) => {
    exchange._dh = { computeSecret: (theirs) => answer(name, theirs, exchange, change) };
  };
}

interface ServerProtocol {
  openHybrid(exchange: ServerExchange, name: string): void;
}

interface ServerExchange {
  _dh: { computeSecret(theirs: Buffer): Buffer };
  _public: Buffer;
}

/** The server's part of draft-ietf-sshm-mlkem-hybrid-kex, and of RFC 9941. */
function answer(name: string, theirs: Buffer, exchange: ServerExchange, change: Change): Buffer {
  const classic = theirs.subarray(-X25519_BYTES);
  const sealed = name.startsWith('mlkem')
    ? sealMlKem(theirs.subarray(0, PUBLIC_KEY_BYTES))
    : encapsulate(theirs.subarray(0, -X25519_BYTES));
  const own = generateKeyPairSync('x25519');
  const x = classic.toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
  const point = rawPublicKey(own.publicKey);
  exchange._public = change(Buffer.concat([sealed.ciphertext, point]));
  const shared = diffieHellman({ privateKey: own.privateKey, publicKey });
  const hash = name.startsWith('mlkem') ? 'sha256' : 'sha512';
  return createHash(hash).update(sealed.secret).update(shared).digest();
}

const X25519_BYTES = 32;

function sealMlKem(publicKey: Buffer): { readonly ciphertext: Uint8Array; readonly secret: Uint8Array } {
  const { cipherText: ciphertext, sharedSecret: secret } = mlKem.encapsulate(publicKey);
  return { ciphertext, secret };
}
