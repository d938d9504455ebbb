import type { Client } from 'ssh2';
import { orElse } from '../../lib/or-else.ts';
import { isSound } from '../known-hosts/host-certificate.ts';
import { readCertificate } from '../ssh/certificate.ts';
import { WireReader } from '../ssh/wire-reader.ts';
import { internalsOf } from './protocol/internals.ts';
import { ProtocolViolation } from './protocol/violations.ts';

/**
 * Lets a server show a certificate in the place of its host key (PROTOCOL.certkeys of OpenSSH): the certified key signs
 * the key exchange. Whether the certificate is valid is for the verifier of host keys. As in ssh, no reply is taken in
 * which anything follows what belongs there. Call right after client.connect().
 */
export function openHostKeys(client: Client): void {
  internalsOf(client)._protocol.openHostKey = (blob, algorithm, reply) => {
    if (!isExact(reply)) throw new ProtocolViolation('the signature of its key exchange is malformed');
    return signerOf(blob, algorithm);
  };
}

/** RFC 4253 section 8 (and 5656, 8731): the host key, the server's half, and the signature, which has an algorithm and a value. */
function isExact(reply: Buffer): boolean {
  return orElse(() => {
    const reader = new WireReader(reply);
    reader.byte();
    reader.string();
    reader.string();
    const signature = new WireReader(reader.string());
    const algorithm = signature.text();
    const value = signature.string();
    return reader.atEnd() && signature.atEnd() && (!algorithm.startsWith('ecdsa-') || hasTwoNumbers(value));
  }, false);
}

/** RFC 5656 section 3.1.2 */
function hasTwoNumbers(value: Buffer): boolean {
  const reader = new WireReader(value);
  const numbers = [reader.string(), reader.string()];
  return reader.atEnd() && numbers.every((number) => number.length > 0 && number[0]! < 0x80);
}

function signerOf(blob: Buffer, algorithm: string): { readonly key: Buffer; readonly algorithm: string } {
  const plain = algorithm.replace(/-cert-v01@openssh\.com$/, '');
  if (plain === algorithm) return { key: blob, algorithm };
  const certificate = readCertificate(blob);
  if (!isSound(certificate))
    throw new ProtocolViolation('its host certificate is malformed, or not signed by the authority that it names');
  return { key: certificate.key, algorithm: plain };
}
