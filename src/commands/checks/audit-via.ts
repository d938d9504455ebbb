import type { ServerFiles } from '../../audit/audit.ts';
import { readServer } from '../../audit/files/read.ts';
import { certificateFiles, readCertificateFile } from '../../connection/auth/certificate-file.ts';
import type { OpenLoginDeps } from '../../connection/route/open-login.ts';
import { NEVER } from '../../lib/async/never.ts';
import { UserError } from '../../lib/user-error.ts';
import { sharesUser } from '../../server-rules/same-login.ts';
import { readPublicKeys } from '../../setup/public-key.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';

/** The rules and keys of the server, as an administrator reads them there. */
export async function readFilesFor(
  tunnel: TunnelSpec,
  all: readonly TunnelSpec[],
  admin: TunnelSpec,
  deps: OpenLoginDeps,
): Promise<ServerFiles> {
  const keys = await keysOf(tunnel);
  const sharing = await Promise.all(all.filter((other) => sharesUser(tunnel, other)).map(keysOf));
  const authorities = await authoritiesOf(tunnel);
  const facts = await readServer(admin, { user: tunnel.user, keys, authorities }, deps, NEVER);
  return { facts, keys, authorities, known: [...keys, ...sharing.flat()] };
}

/** In base64. A file that holds no certificate lets nobody in. */
async function authoritiesOf(tunnel: TunnelSpec): Promise<readonly string[]> {
  const found = await Promise.all(certificateFiles(tunnel).map(readCertificateFile));
  return found.flatMap((one) => (one instanceof TunnelFailure ? [] : [one.authority.toString('base64')]));
}

/** In base64; none where they are known to an agent alone. */
async function keysOf(tunnel: TunnelSpec): Promise<readonly string[]> {
  try {
    return (await readPublicKeys(tunnel)).keys.map(({ base64 }) => base64);
  } catch (error) {
    if (error instanceof UserError) return [];
    throw error;
  }
}
