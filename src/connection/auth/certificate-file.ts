import { asFailure, TunnelFailure } from '../../model/failure.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { readCertificate, type Certificate } from '../ssh/certificate.ts';
import { readPrivateFile } from './secret-file.ts';

/** Reads a certificate of a user. The failure, where there is none, is `key-unreadable`. */
export async function readCertificateFile(path: string): Promise<Certificate | TunnelFailure> {
  try {
    // It is no secret: that others can read it is no fault.
    const { bytes } = await readPrivateFile(path, 'certificateFile');
    const [, blob] = LINE.exec(bytes.toString('latin1')) ?? [];
    if (blob === undefined) return unfit(path, 'is no OpenSSH certificate: `ssh-keygen -Lf FILE` shows one');
    const certificate = readCertificate(Buffer.from(blob, 'base64'));
    if (certificate === null) return unfit(path, 'is a damaged certificate, or one of a kind that tunneld cannot use');
    if (certificate.use !== 'user') return unfit(path, `is a ${certificate.use} certificate, and a user's is needed`);
    return certificate;
  } catch (error) {
    return asFailure(error);
  }
}

/** The files in which certificates of a login are looked for; those beside a key need not exist. */
export function certificateFiles(server: Pick<ServerSpec, 'certificateFiles' | 'identityFiles'>): readonly string[] {
  return server.certificateFiles.length > 0 ? server.certificateFiles : server.identityFiles.map(certificateOf);
}

/** Where ssh looks for the certificate of a key, unasked. */
export function certificateOf(identityFile: string): string {
  return `${identityFile}-cert.pub`;
}

/** The first line of a `-cert.pub` file. */
const LINE = /^[a-z0-9@.-]+-cert-v01@openssh\.com[ \t]+(AAAA[\w+/]+=*)/m;

function unfit(path: string, reason: string): TunnelFailure {
  return new TunnelFailure('key-unreadable', `certificateFile ${path} ${reason}`);
}
