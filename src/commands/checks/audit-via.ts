import type { ServerFiles } from '../../audit/audit.ts';
import { readServer } from '../../audit/files/read.ts';
import { certificateFiles, readCertificateFile } from '../../connection/auth/certificate-file.ts';
import { isMissing } from '../../connection/auth/secret-file.ts';
import type { OpenLoginDeps } from '../../connection/route/open-login.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { unlessRefused } from '../../lib/user-error.ts';
import { sharesUser } from '../../server-rules/same-login.ts';
import { marksOf } from '../../server-rules/server-setup.ts';
import { readLoginKeys } from '../../setup/login-keys.ts';
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
  const sharing = all.filter((other) => sharesUser(tunnel, other));
  const known = await Promise.all([...sharing.map(keysOf), ...[tunnel, ...sharing].map(linesOf)]);
  const { authorities, unread } = await authoritiesOf(tunnel);
  const facts = await readServer(admin, { user: tunnel.user, keys, authorities }, deps, NEVER);
  const problems = [...facts.problems, ...unread];
  return { facts: { ...facts, problems }, keys, authorities, known: [...keys, ...known.flat()] };
}

/** The authorities in base64, and why some are not known: what the server lets in by those is not judged. */
async function authoritiesOf(
  tunnel: TunnelSpec,
): Promise<{ readonly authorities: readonly string[]; readonly unread: readonly string[] }> {
  const found = await Promise.all(certificateFiles(tunnel).map(readCertificateFile));
  const isNamed = tunnel.certificateFiles.length > 0;
  return {
    authorities: found.flatMap((one) => (one instanceof TunnelFailure ? [] : [one.authority.toString('base64')])),
    unread: found.flatMap((one) =>
      one instanceof TunnelFailure && (isNamed || !isMissing(one))
        ? [`${one.message}: whom its authority lets in was not judged`]
        : [],
    ),
  };
}

/** What the lines hold that server-setup writes; none where it would write none now. */
async function linesOf(tunnel: TunnelSpec): Promise<readonly string[]> {
  return marksOf((await unlessRefused(readLoginKeys(tunnel, systemClock), { keys: [] })).keys);
}

/** In base64; none where they are known to an agent alone. */
async function keysOf(tunnel: TunnelSpec): Promise<readonly string[]> {
  return (await unlessRefused(readPublicKeys(tunnel), { keys: [] })).keys.map(({ base64 }) => base64);
}
