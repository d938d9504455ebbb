import { isMeant } from '../../model/redundancy.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { auditTunnel } from '../../audit/audit.ts';
import { auditDocument } from '../../audit/document.ts';
import type { TunnelAudit } from '../../audit/findings/finding.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { NEVER } from '../../lib/async/never.ts';
import { escapeUnsafeJson } from '../../lib/text.ts';
import { wrongUsage } from '../../lib/user-error.ts';
import { VERSION } from '../../lib/version.ts';
import { formatServer } from '../../model/state.ts';
import { formatAudit } from '../text/audit-text.ts';
import { administrator } from '../find/administrator.ts';
import { readFilesFor } from './audit-via.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { findConfig } from '../find/config-file.ts';
import { noSuchTunnel } from '../text/no-such-tunnel.ts';
import { confirmOnce } from '../text/prompt.ts';
import { loginDeps } from '../find/login-deps.ts';
import { wantsColour } from '../text/color.ts';

export interface AuditOptions {
  readonly json: boolean;
  readonly yes: boolean;
  /** `[me@]server`: an administrator's own login, or null. */
  readonly via: string | null;
}

/**
 * Tries what a thief of the tunnels' keys could do, after a question. The exit code is 1 where something is open, the server did not
 * answer, or its files could not be read though they were to be (`via`).
 */
export async function audit(flag: string | null, name: string | null, options: AuditOptions): Promise<number> {
  const config = await loadConfig(await findConfig(flag), systemEnvironment());
  const chosen = config.tunnels.filter((tunnel) => isMeant(tunnel.name, name));
  if (chosen.length === 0) throw noSuchTunnel(name, config.tunnels);
  if (options.via !== null && new Set(chosen.map(({ host, port }) => `${host}:${port}`)).size > 1)
    throw wrongUsage('--via names one server, and the tunnels have several: name a tunnel');
  process.stderr.write(warning(chosen.map(formatServer)));
  if (!(await confirmOnce(options.yes, 'Continue?'))) return EXIT.failed;
  const audits = await auditAll(chosen, config.tunnels, options.via);
  const document = auditDocument(VERSION, audits, config.tunnels);
  process.stdout.write(
    options.json ? `${escapeUnsafeJson(JSON.stringify(document, null, 2))}\n` : formatAudit(document, wantsColour()),
  );
  const closed = document.tunnels.every(({ verdict }) => verdict === 'closed' || verdict === 'closed-as-tried');
  return closed ? EXIT.ok : EXIT.failed;
}

async function auditAll(
  chosen: readonly TunnelSpec[],
  tunnels: readonly TunnelSpec[],
  via: string | null,
): Promise<readonly TunnelAudit[]> {
  const own = loginDeps('warn');
  const admin = via === null ? null : await administrator(via, systemEnvironment());
  const audits: TunnelAudit[] = [];
  for (const tunnel of chosen) {
    const deps = { ...own, log: own.log.child({ tunnel: tunnel.name }) };
    const files = admin && (await readFilesFor(tunnel, tunnels, admin, deps));
    audits.push(await auditTunnel(tunnel, tunnels, { ...deps, files }, NEVER));
  }
  return audits;
}

function warning(servers: readonly string[]): string {
  return (
    `tunneld: this logs in to ${[...new Set(servers)].join(', ')} and tries what a thief of the key would try: commands, files, ports.\n` +
    'It harms nothing, but leaves traces in the log of the server, where it may look like an attack.\n'
  );
}
