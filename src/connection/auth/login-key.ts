import ssh2, { type ParsedKey } from '#ssh2';
import { certificateName } from '../../model/algorithms.ts';
import { sshString } from '../ssh/wire-writer.ts';
import type { BoundedAgent } from './agent.ts';
import type { Identity } from './credentials.ts';
import { signed, type SigningKey } from './sign.ts';

/** The result of a signature: `failed` replaces the error that would end the connection. */
export interface SigningEvents {
  signed(): void;
  failed(error: unknown): void;
}

/** What the server and the configuration say about signatures. */
export interface SignatureChoice {
  /** The algorithms that the server accepts (RFC 8308, server-sig-algs); null where it has not listed them. */
  readonly announced: readonly string[] | null;
  /** PubkeyAcceptedAlgorithms; null for all. */
  readonly accepted: readonly string[] | null;
}

/** The key of an identity in the form that ssh2 offers and signs with. */
export function loginKey(
  identity: Identity,
  agent: BoundedAgent | null,
  choice: SignatureChoice,
  events: SigningEvents,
): ParsedKey {
  const { key, publicKey, keyType, certificate, heldAs } = identity;
  if (certificate === null && key !== null) return key;
  const algorithm = certificate === null ? keyType : signatureAlgorithm(certificate.certificate.keyType, choice);
  const sign = async (data: Buffer, hash: string | undefined): Promise<Buffer> => {
    // ssh2 chooses the hash of a plain RSA key.
    const chosen = certificate === null && keyType === 'ssh-rsa' ? (RSA_BY_HASH[hash ?? ''] ?? 'ssh-rsa') : algorithm;
    if (key !== null) return await signWith(key, data, chosen);
    if (agent === null || heldAs === null) throw new Error('no agent holds the key');
    return await agent.sign(heldAs, data, chosen);
  };
  const blob = certificate?.certificate.blob ?? publicKey;
  return asSsh2Key(certificate === null ? keyType : certificateName(algorithm), blob, sign, events);
}

const RSA_BY_HASH: Readonly<Record<string, string>> = { sha256: 'rsa-sha2-256', sha512: 'rsa-sha2-512' };

/** Never SHA-1: no server that understands certificates needs it. */
function signatureAlgorithm(keyType: string, { announced, accepted }: SignatureChoice): string {
  if (keyType !== 'ssh-rsa') return keyType;
  const allowed = RSA_ALGORITHMS.filter((name) => accepted === null || accepted.includes(certificateName(name)));
  return allowed.find((name) => announced?.includes(name)) ?? allowed[0] ?? 'rsa-sha2-512';
}

/** The signatures of an RSA key (RFC 8332), in OpenSSH's order. */
const RSA_ALGORITHMS = ['rsa-sha2-512', 'rsa-sha2-256'];

/** Signs with a private key of a file; the result is encoded as in RFC 4253 section 6.6. */
async function signWith(key: SigningKey, data: Buffer, algorithm: string): Promise<Buffer> {
  const hash = algorithm === 'rsa-sha2-256' ? 'sha256' : 'sha512';
  const signature = key.signLater === undefined ? key.sign(data) : await signed(key.signLater, data, hash);
  if (signature instanceof Error) throw signature;
  const value = algorithm.startsWith('ecdsa-') ? fromDer(signature) : signature;
  return Buffer.concat([sshString(algorithm), sshString(value)]);
}

/** An ECDSA signature in the encoding of SSH (RFC 5656 section 3.1.2), by that of X.509: both have two numbers, encoded alike. */
function fromDer(der: Buffer): Buffer {
  // A sequence (its length has a second byte from 128 on), and in it two integers.
  const first = der[1]! >= 0x80 ? 3 : 2;
  const second = first + 2 + der[first + 1]!;
  const number = (at: number) => sshString(der.subarray(at + 2, at + 2 + der[at + 1]!));
  return Buffer.concat([number(first), number(second)]);
}

/** Makes what ssh2 takes for a private key. `name` is the algorithm that it names to the server. */
function asSsh2Key(
  name: string,
  blob: Buffer,
  sign: (data: Buffer, hash: string | undefined) => Promise<Buffer>,
  events: SigningEvents,
): SigningKey {
  const signLater: SigningKey['signLater'] = (data, hash, done) => {
    const send = (signature: Buffer) => {
      events.signed();
      // See packaging/ssh2-replacements.mjs.
      done(Object.assign(signature, { whole: true }));
    };
    void sign(data, hash).then(send).catch(events.failed);
  };
  return Object.create(template(), {
    type: { value: name },
    getPublicSSH: { value: () => blob },
    isPrivateKey: { value: () => true },
    signLater: { value: signLater },
  }) as SigningKey;
}

/** ssh2 knows its keys by a symbol of their own. */
function template(): ParsedKey {
  const key = ssh2.utils.parseKey(Buffer.concat([sshString('ssh-ed25519'), sshString(Buffer.alloc(32, 1))]));
  if (key instanceof Error) throw key;
  return key;
}
