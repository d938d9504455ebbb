import type { Client } from 'ssh2';
import { isSound } from '../known-hosts/host-certificate.ts';
import { readCertificate } from '../ssh/certificate.ts';
import { internalsOf } from './protocol/internals.ts';
import { ProtocolViolation } from './protocol/violations.ts';

/**
 * Lets a server show a certificate in the place of its host key (PROTOCOL.certkeys of OpenSSH): the certified key signs
 * the key exchange. Whether the certificate is valid is for the verifier of host keys. Call right after
 * client.connect().
 */
export function openHostCertificates(client: Client): void {
  internalsOf(client)._protocol.openHostKey = signerOf;
}

function signerOf(blob: Buffer, algorithm: string): { readonly key: Buffer; readonly algorithm: string } {
  const plain = algorithm.replace(/-cert-v01@openssh\.com$/, '');
  if (plain === algorithm) return { key: blob, algorithm };
  const certificate = readCertificate(blob);
  if (!isSound(certificate))
    throw new ProtocolViolation('its host certificate is malformed, or not signed by the authority that it names');
  return { key: certificate.key, algorithm: plain };
}
