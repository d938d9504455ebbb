import type { ConfigEnvironment } from '../../config/input/environment.ts';
import { addPrinted } from '../../config/add-tunnels.ts';
import { parseConfig } from '../../config/parse.ts';
import { printConfig } from '../../config/print.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { UserError } from '../../lib/user-error.ts';
import { formatServer } from '../../model/state.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { Account } from '../steps/accounts.ts';
import { configStep, hasForward, isSameServer, type PlannedConfig, refuseStandby } from '../system-config.ts';
import { CONFIG, serviceEnvironment } from '../systemd/service-paths.ts';
import { type OwnedCommand, planTunnels } from '../takeover/takeover.ts';
import type { Keeper, LinuxKeeper } from './keeper.ts';

/** What is made of the keepers. */
export interface FromPlan extends PlannedConfig {
  /** The whole configuration. */
  readonly yaml: string;
  /** Those of it that do what the keepers do. */
  readonly specs: readonly TunnelSpec[];
  readonly taken: readonly LinuxKeeper[];
  /** Those that cannot be taken over, and why. */
  readonly left: readonly { readonly keeper: Keeper; readonly why: string }[];
}

/** Plans the tunnels of these keepers in the service's configuration, whose text is `existing`; changes nothing. */
export async function planFrom(
  keepers: readonly LinuxKeeper[],
  existing: string | null,
  accounts: readonly Account[],
  here: ConfigEnvironment,
): Promise<FromPlan> {
  const service = serviceEnvironment(here);
  const before = existing === null ? [] : (await parseConfig(existing, CONFIG, service)).tunnels;
  const names = new Set(before.map(({ name }) => name));
  const commands: OwnedCommand[] = [];
  const taken: LinuxKeeper[] = [];
  const left: { keeper: Keeper; why: string }[] = [];
  for (const keeper of keepers) {
    try {
      const own = ownedCommands(keeper, accounts);
      const { config } = await planTunnels(own, names, here);
      for (const tunnel of config.tunnels) {
        const there = sameAs(tunnel, before);
        if (there !== undefined) refuseStandby(there);
      }
      commands.push(...own);
      taken.push(keeper);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      left.push({ keeper, why: error.message });
    }
  }
  if (taken.length === 0) return { yaml: existing ?? '', specs: [], steps: [], notes: [], tunnels: [], taken, left };

  const { config, files, notes } = await planTunnels(commands, names, here);
  // Those of a takeover that was interrupted are there already.
  const [there, missing] = partition(config.tunnels, (tunnel) => sameAs(tunnel, before));
  const printed = printConfig({ ...config, tunnels: missing, log: { level: 'info', file: null } }, service);
  const yaml = existing === null ? HEAD + printed : missing.length === 0 ? existing : addPrinted(existing, printed);
  const all = (await parseConfig(yaml, CONFIG, service)).tunnels;
  refuseOther(missing, all, CONFIG, (tunnels) => printConfig({ ...config, tunnels }, service));
  const tunnels = [...there.map((tunnel) => sameAs(tunnel, before)!.name), ...missing.map(({ name }) => name)];
  return {
    yaml,
    specs: all.filter(({ name }) => tunnels.includes(name)),
    steps: [...files, configStep(yaml === existing ? null : yaml)],
    notes,
    tunnels,
    taken,
    left,
  };
}

const HEAD =
  '# Written by tunneld init --from. `tunneld check` checks this file, `tunneld doctor` the tunnels; `tunneld reload` applies changes.\n';

function ownedCommands({ commands, hold }: Keeper, accounts: readonly Account[]): readonly OwnedCommand[] {
  const [, alias] = hold.type === 'unit' ? (/^([a-z0-9][a-z0-9_-]*)(?:@.*)?\.service$/.exec(hold.unit) ?? []) : [];
  return commands.map((command) => ({
    command,
    account: accountOf(command.user, accounts),
    ...(alias === undefined ? {} : { alias }),
  }));
}

function accountOf(user: string, accounts: readonly Account[]): Account {
  const found = accounts.find(({ name, uid }) => name === user || String(uid) === user);
  if (found !== undefined) return found;
  throw new UserError(`it runs as the user ${user}, which does not exist`);
}

/** The tunnel of these that does what this one does. */
export function sameAs(tunnel: TunnelSpec, all: readonly TunnelSpec[]): TunnelSpec | undefined {
  return all.find(
    (one) =>
      isSameServer(one, tunnel) &&
      one.user === tunnel.user &&
      tunnel.forwards.every((forward) => hasForward(one, forward)),
  );
}

function partition<T>(all: readonly T[], test: (one: T) => unknown): readonly [readonly T[], readonly T[]] {
  return [all.filter((one) => test(one)), all.filter((one) => !test(one))];
}

/** Throws where the `defaults` of the file, which hold for what is added, too, would make another tunnel of one. */
export function refuseOther(
  wanted: readonly TunnelSpec[],
  all: readonly TunnelSpec[],
  file: string,
  print: (tunnels: readonly TunnelSpec[]) => string,
): void {
  for (const tunnel of wanted) {
    const added = all.find(({ name }) => name === tunnel.name);
    if (added === undefined || print([added]) !== print([tunnel]))
      throw new UserError(
        `the defaults of ${file} would change the tunnel to ${formatServer(tunnel)}: write it into the file yourself, or take the defaults out`,
        EXIT.config,
      );
  }
}
