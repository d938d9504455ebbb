import { existsSync } from 'node:fs';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from '../config/input/environment.ts';
import { parseConfig } from '../config/parse.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { formatEndpoint, type ForwardSpec, type TunnelSpec } from '../model/spec.ts';
import type { Account } from './steps/accounts.ts';
import { checkFiles, ownershipSteps } from './systemd/config-files.ts';
import { readFileState } from './steps/files.ts';
import { InstallError } from './steps/install-error.ts';
import type { OldCommand } from './takeover/old-unit.ts';
import { readAsOwner } from './steps/effective-user.ts';
import { CONFIG, SERVICE_USER, serviceEnvironment } from './systemd/service-paths.ts';
import type { Step } from './steps/step.ts';
import { oldConfig, planTakeover } from './takeover/takeover.ts';

export interface ConfigRequest {
  /** A configuration to copy, where there is none yet. */
  readonly copyFrom: string | null;
  readonly here: ConfigEnvironment;
  /** The unit that ran ssh before, and whose it was. */
  readonly old: { readonly command: OldCommand; readonly account: Account } | null;
}

export interface PlannedConfig {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
  /** Names of the tunnels that do what the old unit did. */
  readonly tunnels: readonly string[];
}

/** The configuration that is there, or is copied, or else is what the old unit did. */
export async function planConfig({ copyFrom, here, old }: ConfigRequest): Promise<PlannedConfig> {
  const service = serviceEnvironment(here);
  const existing = (await readFileState(CONFIG))?.content ?? null;
  if (existing === null && copyFrom === null && old !== null) {
    const { yaml, files, notes } = await planTakeover(old.command, old.account, here);
    const { tunnels } = await parseConfig(yaml, CONFIG, service);
    return { steps: [...files, configStep(yaml)], notes, tunnels: tunnels.map(({ name }) => name) };
  }
  const copied = copyFrom === null ? null : readCopied(copyFrom);
  refuseDifferent(existing, copied, copyFrom);
  const content = existing ?? copied;
  if (content === null) throw new InstallError(NO_CONFIG, 78);
  const config = await parseConfig(content, CONFIG, service);
  const tunnels = old === null ? [] : tunnelsOfOldUnit(config, await oldConfig(old.command, old.account, here));
  return {
    steps: [configStep(existing === null ? content : null), ...ownershipSteps(config, existsSync)],
    notes: [
      ...checkFiles(config, existsSync),
      ...(old === null || existing === null ? [] : [`${CONFIG} is kept as it is, and has what the old unit did`]),
    ],
    tunnels,
  };
}

function refuseDifferent(existing: string | null, copied: string | null, copyFrom: string | null): void {
  if (existing === null || copied === null || copied === existing) return;
  throw new InstallError(
    `${CONFIG} exists and is not the same as ${copyFrom}: leave --config out, or move one of them away`,
  );
}

const NO_CONFIG =
  `there is no configuration ${CONFIG} yet: \`sudo tunneld init [user@]host -R 8080:localhost:22\` makes one with a key, ` +
  'or name one to copy with --config FILE';

function configStep(content: string | null): Step {
  return { type: 'file', path: CONFIG, mode: 0o640, owner: 'root', group: SERVICE_USER, content };
}

function readCopied(path: string): string {
  try {
    return readAsOwner(path).toString('utf8');
  } catch (error) {
    const why = errorCode(error) === 'ENOENT' ? 'there is no such file' : errorText(error);
    throw new InstallError(`${path} cannot be copied: ${why}`, 78);
  }
}

/** The tunnels that have the forwards of the old unit. Refuses a configuration without one of them: it would be a way in less. */
function tunnelsOfOldUnit(config: Config, before: Config): readonly string[] {
  const names = before.tunnels.flatMap((old) =>
    old.forwards.map((forward) => {
      const found = config.tunnels.find((tunnel) => isSameServer(tunnel, old) && hasForward(tunnel, forward));
      if (found !== undefined) return found.name;
      throw new InstallError(
        `the old unit has ${option(forward)} at ${old.user}@${old.host}:${old.port}, and the configuration has not: add it, or ` +
          'take the old unit away yourself, and run this again',
        78,
      );
    }),
  );
  return [...new Set(names)];
}

function isSameServer(one: TunnelSpec, other: TunnelSpec): boolean {
  return one.host.toLowerCase() === other.host.toLowerCase() && one.port === other.port;
}

function hasForward({ forwards }: TunnelSpec, { kind, listen }: ForwardSpec): boolean {
  return forwards.some((forward) => forward.kind === kind && formatEndpoint(forward.listen) === formatEndpoint(listen));
}

function option({ kind, listen }: ForwardSpec): string {
  return `${{ remote: '-R', local: '-L', dynamic: '-D' }[kind]} ${formatEndpoint(listen)}`;
}
