import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import ssh2, { type ParsedKey } from '#ssh2';
import { errorCode, errorText, printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { DSA, inspectKeyFile } from './key-file.ts';
import { rawPrivateKey, rawPublicKey } from '../ssh/raw-key.ts';
import { encodeEd25519 } from './openssh-key.ts';

/**
 * Parses the content of a private key file; `path` is for messages. It blocks: the key derivation of an encrypted key
 * takes 300 ms on a PC, or as long as the file determines; see openKey().
 */
export function parsePrivateKey(bytes: Buffer, passphrase: string | null, path: string): ParsedKey {
  const file = inspectKeyFile(bytes);
  if (file.kind === 'unsupported') throw unreadable(path, file.reason);
  if (file.kind === 'public') {
    throw unreadable(
      path,
      'is a public key: set identityFile to the private one, without .pub, or load that into an agent',
    );
  }
  if (file.encrypted && passphrase === null) {
    throw new TunnelFailure('key-passphrase', `identityFile ${path} is encrypted, and there is no passphraseFile`);
  }
  // An unencrypted key needs none, whatever passphrase other keys have.
  const secret = file.encrypted ? passphrase : null;
  return file.kind === 'openssh' ? parseOpenssh(file.text, secret, path) : parsePem(file.text, secret, path);
}

function parseOpenssh(text: string, passphrase: string | null, path: string): ParsedKey {
  const key = ssh2.utils.parseKey(text, passphrase ?? undefined);
  if (!(key instanceof Error)) return key;
  // The first text is ssh2's, for ciphers without authentication, the second OpenSSL's, for AES-GCM.
  if (/integrity check failed|unable to authenticate/.test(key.message) && passphrase !== null) {
    throw wrongPassphrase(path, key);
  }
  throw unreadable(path, `cannot be parsed: ${printable(key.message)}`, key);
}

/**
 * PKCS#1, SEC1 and PKCS#8, encrypted or not. OpenSSL reads them all and checks what it decrypts; ssh2 reads no PKCS#8,
 * and accepts as a key much that was decrypted with the wrong passphrase.
 */
function parsePem(text: string, passphrase: string | null, path: string): ParsedKey {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: text, format: 'pem', ...(passphrase !== null && { passphrase }) });
  } catch (error) {
    if (passphrase !== null && errorCode(error) !== CIPHER_UNKNOWN) throw wrongPassphrase(path, error);
    throw unreadable(path, `cannot be parsed: ${printable(errorText(error))}`, error);
  }
  const parsed = ssh2.utils.parseKey(convert(key, path));
  if (parsed instanceof Error) throw unreadable(path, `cannot be used: ${printable(parsed.message)}`, parsed);
  return parsed;
}

/**
 * A cipher outside OpenSSL's default provider (single DES). The similar ERR_OSSL_UNSUPPORTED is the result of one wrong
 * passphrase in 250, whose padding looks right by chance.
 */
const CIPHER_UNKNOWN = 'ERR_OSSL_EVP_UNSUPPORTED';

/** Converts a key of OpenSSL to a form that ssh2 reads. */
function convert(key: KeyObject, path: string): string {
  const type: string = key.asymmetricKeyType ?? 'unknown';
  switch (type) {
    case 'rsa':
      return key.export({ type: 'pkcs1', format: 'pem' }).toString();
    case 'ec': {
      const curve = key.asymmetricKeyDetails?.namedCurve ?? 'without a name';
      if (!SSH_CURVES.has(curve))
        throw unreadable(path, `is on the curve ${curve}, which SSH does not support: ${MAKE_ONE}`);
      return key.export({ type: 'sec1', format: 'pem' }).toString();
    }
    case 'ed25519': {
      return encodeEd25519(rawPrivateKey(key), rawPublicKey(createPublicKey(key)));
    }
    case 'dsa':
      throw unreadable(path, DSA);
    default:
      throw unreadable(path, `is a key of type ${type}, which tunneld cannot use: ${MAKE_ONE}`);
  }
}

const MAKE_ONE = 'make one with `ssh-keygen -t ed25519`';

/** OpenSSL's names of the curves in RFC 5656 section 10.1. */
const SSH_CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

export function unreadable(path: string, reason: string, cause?: unknown): TunnelFailure {
  return new TunnelFailure('key-unreadable', `identityFile ${path} ${reason}`, { cause });
}

function wrongPassphrase(path: string, cause: unknown): TunnelFailure {
  return new TunnelFailure(
    'key-passphrase',
    `identityFile ${path} cannot be decrypted: the passphrase is wrong, or the file is damaged`,
    { cause },
  );
}
