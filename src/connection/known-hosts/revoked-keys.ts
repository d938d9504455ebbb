import { createHash } from 'node:crypto';
import { inSlices } from '../../lib/async/slices.ts';
import { errorText, printable, errorCode } from '../../lib/text.ts';
import { type Certificate, readCertificate } from '../ssh/certificate.ts';
import { certificateText } from '../../model/host-certificate.ts';
import { describeCertificate } from './host-certificate.ts';
import { isCertificateType, isCompleteKey, keyTypeOf } from './key-blob.ts';
import { decodeBase64 } from './match.ts';
import { isKrl, parseKrl, type RevokedSet } from './krl.ts';
import { readWhole, withFile } from '../../lib/files/open-file.ts';

/** Returns why a host key, or its certificate, is revoked, as the end of a sentence about it; null where it is not. */
export type RevocationCheck = (key: Buffer, certificate?: Certificate | null) => string | null;

/**
 * Reads the lists of revoked host keys (ssh_config(5), RevokedHostKeys): each a key revocation list, or text with one
 * public key per line. As with ssh, every key counts as revoked while one of them cannot be read.
 */
export async function loadRevokedKeys(files: readonly string[]): Promise<RevocationCheck> {
  const lists = await Promise.all(files.map(loadList));
  return (key, certificate = null) => {
    for (const list of lists) {
      if ('problem' in list)
        return `which counts as revoked, as all do, while revokedHostKeys ${list.file} ${list.problem}`;
      if (includes(list.set, key)) return `which revokedHostKeys ${list.file} revokes`;
      if (certificate !== null && revokesCertificate(list.set, certificate))
        return `whose ${certificateText(describeCertificate(certificate))} revokedHostKeys ${list.file} revokes`;
    }
    return null;
  };
}

type List = { readonly file: string } & ({ readonly set: RevokedSet } | { readonly problem: string });

async function loadList(file: string): Promise<List> {
  try {
    const bytes = await readBytes(file);
    return { file, set: await inSlices(isKrl(bytes) ? parseKrl(bytes) : parseKeyList(bytes.toString('latin1'))) };
  } catch (error) {
    return { file, problem: printable(errorText(error)) };
  }
}

async function readBytes(file: string): Promise<Buffer> {
  try {
    return await withFile(file, async (opened) => {
      const { stats } = opened;
      if (stats.isCharacterDevice()) return Buffer.alloc(0);
      if (!stats.isFile()) throw new Error('is not a file');
      const bytes = await readWhole(opened, MAX_BYTES);
      if (bytes === null) throw new Error(`has ${stats.size} bytes, more than the limit of ${MAX_BYTES}`);
      return bytes;
    });
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    throw new Error(`cannot be read: ${errorText(error)}`, { cause: error });
  }
}

/** Tens of thousands of keys. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Text with one public key per line, as in a .pub file; a certificate stands for the key in it. Throws an Error that names the first malformed line. */
function* parseKeyList(text: string): Generator<undefined, RevokedSet> {
  const blobs = new Set<string>();
  for (const [index, raw] of text.split('\n').entries()) {
    yield;
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [type = '', base64 = ''] = line.split(/[ \t]+/, 2);
    const key = decodeBase64(base64);
    const plain = key === null || keyTypeOf(key) !== type ? null : (readCertificate(key)?.key ?? key);
    if (plain === null || !isCompleteKey(plain) || isCertificateType(keyTypeOf(plain)))
      throw new Error(`has no public key (type and base64) in line ${index + 1}`);
    blobs.add(plain.toString('base64'));
  }
  return { blobs, sha1: new Set(), sha256: new Set(), certificates: [] };
}

/** As ssh_krl_check_key in OpenSSH's krl.c: a revoked authority revokes all that it has signed. A serial number of 0 is none. */
function revokesCertificate(set: RevokedSet, { authority, serial, keyId }: Certificate): boolean {
  if (includes(set, authority)) return true;
  return set.certificates
    .filter((of) => of.authority === null || of.authority.equals(authority))
    .some(({ keyIds, serials }) => keyIds.has(keyId) || (serial !== 0n && serials.some((has) => has(serial))));
}

function includes({ blobs, sha1, sha256 }: RevokedSet, key: Buffer): boolean {
  const digest = (algorithm: string) => createHash(algorithm).update(key).digest('base64');
  return blobs.has(key.toString('base64')) || sha1.has(digest('sha1')) || sha256.has(digest('sha256'));
}
