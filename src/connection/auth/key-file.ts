import { SIGNATURE_ALGORITHMS } from '../../model/algorithms.ts';
import { isCertificateType, isCompleteKey, keyTypeOf } from '../known-hosts/key-blob.ts';
import type { HeldKey } from './agent.ts';
import { readOpensshKeyHeader, type OpensshKeyHeader } from './openssh-key.ts';

/** The kind of a key file, as far as it shows without a passphrase. */
export type KeyFile =
  | { readonly kind: 'openssh'; readonly text: string; readonly encrypted: boolean; readonly header: OpensshKeyHeader }
  | { readonly kind: 'pem'; readonly text: string; readonly encrypted: boolean }
  | { readonly kind: 'public'; readonly key: HeldKey | null }
  /** `reason` continues a sentence that begins with the path: the problem, and what to do. */
  | { readonly kind: 'unsupported'; readonly reason: string };

export function inspectKeyFile(bytes: Buffer): KeyFile {
  const text = bytes.toString('latin1').trim();
  if (text === '') return unsupported('is empty');
  if (text.startsWith('PuTTY-User-Key-File-')) {
    return unsupported('is a PuTTY key: convert it with `puttygen FILE -O private-openssh -o NEWFILE`');
  }
  if (DROPBEAR.test(text))
    return unsupported(
      "is a key in Dropbear's format: convert it with `dropbearconvert dropbear openssh FILE NEWFILE`",
    );
  const line = PUBLIC_LINE.exec(text);
  if (line?.[1] !== undefined && line[2] !== undefined) {
    if (isCertificateType(line[1]))
      return unsupported('is a certificate: name it as certificateFile, and the private key itself here');
    return { kind: 'public', key: parsePublicBlob(Buffer.from(line[2], 'base64')) };
  }
  const block = privateBlock(text);
  if (block !== null) return inspectBlock(block.text, block.label);
  if (/-----? ?BEGIN [A-Z0-9 ]*PUBLIC KEY/.test(text)) return { kind: 'public', key: null };
  if (text.includes('BEGIN CERTIFICATE')) return unsupported('is an X.509 certificate, not a private key');
  return unsupported('holds no private key in OpenSSH or PEM format: make one with `ssh-keygen -t ed25519`');
}

/** A public key, or null where it is of a type that no login can use. */
export function parsePublicBlob(blob: Buffer): HeldKey | null {
  const usable = SIGNATURE_ALGORITHMS.includes(keyTypeOf(blob)) && isCompleteKey(blob);
  return usable ? { blob, comment: '' } : null;
}

/** One line of a .pub file (sshd(8), AUTHORIZED_KEYS FILE FORMAT, without options). */
const PUBLIC_LINE = /^((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w.@-]+) +(AAAA[\w+/=]+)/;

/**
 * Finds the first private key of a PEM file (RFC 7468); null where there is none. Blocks before it (parameters of a
 * curve, attributes of a PKCS#12 export) are skipped. Uses no single regular expression: a file full of begin lines
 * without an end would take it minutes.
 */
function privateBlock(text: string): { readonly label: string; readonly text: string } | null {
  const tried = new Set<string>();
  for (const begin of text.matchAll(/-----BEGIN ((?:[A-Z0-9]{1,16} )?)PRIVATE KEY-----/g)) {
    const label = begin[1] ?? '';
    // Where no end follows the first begin line, none follows the later ones.
    if (tried.has(label)) continue;
    if (tried.size === MAX_LABELS) return null;
    tried.add(label);
    const end = `-----END ${label}PRIVATE KEY-----`;
    const at = text.indexOf(end, begin.index + begin[0].length + 1);
    if (at >= 0) return { label, text: text.slice(begin.index, at + end.length) };
  }
  return null;
}

const MAX_LABELS = 8;

function inspectBlock(text: string, label: string): KeyFile {
  switch (label.trimEnd()) {
    case 'OPENSSH':
      return inspectOpenssh(text);
    case 'DSA':
      return unsupported(DSA);
    default:
      return { kind: 'pem', text, encrypted: label === 'ENCRYPTED ' || /^Proc-Type: *4,ENCRYPTED/m.test(text) };
  }
}

function inspectOpenssh(text: string): KeyFile {
  const header = readOpensshKeyHeader(Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64'));
  if (header === null) return unsupported('is a damaged OpenSSH private key');
  if (header.keyType.startsWith('sk-')) {
    return unsupported(
      'belongs to a security key (FIDO), with which only an agent can sign: run `ssh-add FILE`; nobody is there to touch it, so it has to be made with `ssh-keygen -O no-touch-required`',
    );
  }
  if (header.keyType === 'ssh-dss') return unsupported(DSA);
  if (header.cipher.startsWith('chacha20')) {
    return unsupported(
      'is encrypted with a cipher that tunneld cannot read: run `ssh-keygen -p -Z aes256-ctr -f FILE`',
    );
  }
  return { kind: 'openssh', text, encrypted: header.kdf !== 'none', header };
}

export const DSA = 'is a DSA key, which servers no longer accept: make one with `ssh-keygen -t ed25519`';

/** The type as an SSH string, then the numbers: signkey.c and dropbearkey(1) of Dropbear. */
const DROPBEAR = /^\0\0\0[\x07\x0b\x13](?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-)/;

function unsupported(reason: string): KeyFile {
  return { kind: 'unsupported', reason };
}
