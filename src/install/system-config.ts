import { existsSync } from 'node:fs';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from '../config/input/environment.ts';
import { parseConfig } from '../config/parse.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { formatEndpoint, sameEndpoint } from '../model/endpoint.ts';
import { FORWARD_FLAGS, type ForwardSpec, type TunnelSpec } from '../model/spec.ts';
import type { Account } from './steps/accounts.ts';
import { checkFiles, ownershipSteps } from './systemd/config-files.ts';
import { readFileState } from './steps/files.ts';
import { formatServer } from '../model/state.ts';
import { UserError } from '../lib/user-error.ts';
import type { OldCommand } from './takeover/old-unit.ts';
import { readAsOwner } from './steps/effective-user.ts';
import { CONFIG, SERVICE_USER, serviceEnvironment } from './systemd/service-paths.ts';
import type { Step } from './steps/step.ts';
import { oldConfig, planTakeover } from './takeover/takeover.ts';
import { EXIT } from '../lib/exit-code.ts';

export interface ConfigRequest {
  /** The configuration to copy where none is installed; null for none. */
  readonly copyFrom: string | null;
  readonly here: ConfigEnvironment;
  /** The command of the unit that runs ssh, and the account it runs as. */
  readonly old: { readonly command: OldCommand; readonly account: Account } | null;
}

export interface PlannedConfig {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
  /** Names of the tunnels that replace the old unit. */
  readonly tunnels: readonly string[];
}

/** Plans the configuration: the installed one, a copy, or one that does what the old unit does. */
export async function planConfig({ copyFrom, here, old }: ConfigRequest): Promise<PlannedConfig> {
  const service = serviceEnvironment(here);
  const existing = (await readFileState(CONFIG))?.content ?? null;
  if (existing === null && copyFrom === null && old !== null) {
    const { yaml, files, notes } = await planTakeover(old.command, old.account, here);
    const { tunnels } = await parseConfig(yaml, CONFIG, service);
    return { steps: [...files, configStep(yaml)], notes, tunnels: tunnels.map(({ name }) => name) };
  }
  const copied = copyFrom === null ? null : readCopied(copyFrom);
  const content = chosenText(CONFIG, existing, copied, copyFrom);
  if (content === null) throw new UserError(NO_CONFIG, EXIT.config);
  const config = await parseConfig(content, CONFIG, service);
  const tunnels = old === null ? [] : tunnelsOfOldUnit(config, await oldConfig(old.command, old.account, here));
  return {
    steps: [configStep(existing === null ? content : null), ...ownershipSteps(config, existsSync)],
    notes: [
      ...checkFiles(config, existsSync),
      ...(old === null || existing === null ? [] : [`${CONFIG} is kept: it has all forwards of the old unit`]),
    ],
    tunnels,
  };
}

/** The text of a configuration that is installed; null for none. Throws where there are two that differ. */
export function chosenText(
  file: string,
  existing: string | null,
  copied: string | null,
  copyFrom: string | null,
): string | null {
  if (existing !== null && copied !== null && copied !== existing)
    throw new UserError(
      `${file} exists and differs from ${copyFrom}: run this without --config, or move one of the files away`,
    );
  return existing ?? copied;
}

const NO_CONFIG =
  `${CONFIG} does not exist: create a configuration and a key with \`sudo tunneld init [user@]host -R 8080:localhost:22\`, ` +
  'or name a file to copy with --config FILE';

export function configStep(content: string | null): Step {
  return { type: 'file', path: CONFIG, mode: 0o640, owner: 'root', group: SERVICE_USER, content };
}

function readCopied(path: string): string {
  try {
    return readAsOwner(path).toString('utf8');
  } catch (error) {
    const why = errorCode(error) === 'ENOENT' ? 'no such file' : errorText(error);
    throw new UserError(`${path} cannot be copied: ${why}`, EXIT.config);
  }
}

/** Names of the tunnels with the forwards of the old unit. Throws where one is missing: a way to the device would be lost. */
function tunnelsOfOldUnit(config: Config, before: Config): readonly string[] {
  const names = before.tunnels.flatMap((old) =>
    old.forwards.map((forward) => {
      const found = config.tunnels.find((tunnel) => isSameServer(tunnel, old) && hasForward(tunnel, forward));
      if (found !== undefined) {
        refuseStandby(found);
        return found.name;
      }
      throw new UserError(
        `the configuration lacks ${option(forward)} at ${old.user}@${old.host}:${old.port}, which the old unit has: add it, or ` +
          'remove the old unit yourself, and run this again',
        EXIT.config,
      );
    }),
  );
  return [...new Set(names)];
}

/** Throws where the tunnel is at this server only while those before it are down: it would not come up there in the place of an old one. */
export function refuseStandby(tunnel: TunnelSpec): void {
  const { name, redundancy } = tunnel;
  if (redundancy?.mode !== 'failover' || name === redundancy.tunnel) return;
  throw new UserError(
    `the configuration has ${formatServer(tunnel)} for ${redundancy.tunnel} only while the servers before it are down, so that the tunnel would not come up there in the place of the old one: write it as the first of the servers, or stop the old one yourself`,
    EXIT.config,
  );
}

export function isSameServer(one: TunnelSpec, other: TunnelSpec): boolean {
  return one.host.toLowerCase() === other.host.toLowerCase() && one.port === other.port;
}

export function hasForward({ forwards }: TunnelSpec, { kind, listen }: ForwardSpec): boolean {
  return forwards.some((forward) => forward.kind === kind && sameEndpoint(forward.listen, listen));
}

function option({ kind, listen }: ForwardSpec): string {
  return `${FORWARD_FLAGS[kind]} ${formatEndpoint(listen)}`;
}
