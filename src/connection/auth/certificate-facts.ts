import { printable } from '../../lib/text.ts';
import type { CertificateFacts } from '../../model/certificate.ts';
import { fingerprint } from '../known-hosts/key-blob.ts';
import { FOREVER, LAST_SECOND } from '../ssh/certificate.ts';
import { WireReader } from '../ssh/wire-reader.ts';
import type { IdentityCertificate } from './credentials.ts';
import { orElse } from '../../lib/or-else.ts';

export function certificateFacts({ path, certificate }: IdentityCertificate): CertificateFacts {
  const { keyId, serial, principals, authority, criticalOptions, extensions } = certificate;
  const addresses = criticalOptions.find(({ name }) => name === 'source-address');
  return {
    file: path,
    keyId: printable(keyId),
    serial: String(serial),
    principals: principals.map((name) => printable(name)),
    authority: fingerprint(authority),
    validFrom: certificate.validAfter === 0n ? null : toMs(certificate.validAfter),
    validUntil: certificate.validBefore === FOREVER ? null : toMs(certificate.validBefore),
    addresses:
      addresses === undefined ? null : printable(orElse(() => new WireReader(addresses.data).string().toString(), '')),
    unknownOptions: criticalOptions.map(({ name }) => printable(name)).filter((name) => !KNOWN.includes(name)),
    forwards: extensions.some(({ name }) => name === 'permit-port-forwarding'),
  };
}

/** PROTOCOL.certkeys of OpenSSH. */
const KNOWN = ['force-command', 'source-address', 'verify-required'];

function toMs(seconds: bigint): number {
  return Number(seconds < LAST_SECOND ? seconds : LAST_SECOND) * 1000;
}
