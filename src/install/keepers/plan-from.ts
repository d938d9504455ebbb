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

/** Which keepers are taken over. */
export interface SortedKeepers<K extends Keeper = Keeper> {
  readonly taken: readonly K[];
  /** Those that cannot be taken over, and why. */
  readonly left: readonly { readonly keeper: Keeper; readonly why: string }[];
}

/** What is made of the keepers. */
export interface FromPlan extends PlannedConfig, SortedKeepers<LinuxKeeper> {
  /** The whole configuration. */
  readonly yaml: string;
  /** Those of it that do what the keepers do. */
  readonly specs: readonly TunnelSpec[];
}

/** Plans the tunnels of these keepers in the service's configuration, whose text is `existing`; changes nothing. */
export async function planFrom(
  keepers: readonly LinuxKeeper[],
  existing: string | null,
  accounts: readonly Account[],
  here: ConfigEnvironment,
): Promise<FromPlan> {
  const service = serviceEnvironment(here);
  const before = await tunnelsIn(existing, CONFIG, service);
  const names = new Set(before.map(({ name }) => name));
  const plan = (those: readonly LinuxKeeper[]) =>
    planTunnels(
      those.flatMap((keeper) => ownedCommands(keeper, accounts)),
      names,
      here,
    );
  const sorted = await sortKeepers(keepers, before, async (keeper) => (await plan([keeper])).config.tunnels);
  if (sorted.taken.length === 0)
    return { ...sorted, yaml: existing ?? '', specs: [], steps: [], notes: [], tunnels: [] };
  const { config, files, notes } = await plan(sorted.taken);
  const added = await withTunnels(existing, config.tunnels, CONFIG, service, HEAD);
  const steps = [...files, configStep(added.yaml === existing ? null : added.yaml)];
  return { ...sorted, ...added, steps, notes, tunnels: added.specs.map(({ name }) => name) };
}

const HEAD =
  '# Written by tunneld init --from. `tunneld check` checks this file, `tunneld doctor` the tunnels; `tunneld reload` applies changes.\n';

/** Those of a configuration; none where there is no text. */
export async function tunnelsIn(
  text: string | null,
  file: string,
  env: ConfigEnvironment,
): Promise<readonly TunnelSpec[]> {
  return text === null ? [] : (await parseConfig(text, file, env)).tunnels;
}

/** `tunnelsOf` makes those of a keeper, and rejects with a UserError where it cannot be taken over; `before` are there already. */
export async function sortKeepers<K extends Keeper>(
  keepers: readonly K[],
  before: readonly TunnelSpec[],
  tunnelsOf: (keeper: K) => Promise<readonly TunnelSpec[]>,
): Promise<SortedKeepers<K>> {
  const taken: K[] = [];
  const left: { keeper: Keeper; why: string }[] = [];
  for (const keeper of keepers) {
    try {
      for (const there of (await tunnelsOf(keeper)).flatMap((tunnel) => sameAs(tunnel, before) ?? []))
        refuseStandby(there);
      taken.push(keeper);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      left.push({ keeper, why: error.message });
    }
  }
  return { taken, left };
}

/**
 * Adds tunnels to a configuration; those of a takeover that was interrupted are there already. `specs` are those of it that do what was
 * wanted. Throws where the `defaults` of the file, which hold for what is added, too, would make another tunnel of one.
 */
export async function withTunnels(
  text: string | null,
  wanted: readonly TunnelSpec[],
  file: string,
  env: ConfigEnvironment,
  head: string,
) {
  const before = await tunnelsIn(text, file, env);
  const print = (tunnels: readonly TunnelSpec[]) => printConfig({ tunnels, log: { level: 'info', file: null } }, env);
  const missing = wanted.filter((tunnel) => sameAs(tunnel, before) === undefined);
  const printed = print(missing);
  const yaml = text === null ? head + printed : missing.length === 0 ? text : addPrinted(text, printed);
  const all = await tunnelsIn(yaml, file, env);
  for (const tunnel of missing) {
    const added = all.find(({ name }) => name === tunnel.name);
    if (added === undefined || print([added]) !== print([tunnel]))
      throw new UserError(
        `the defaults of ${file} would change the tunnel to ${formatServer(tunnel)}: write it into the file yourself, or take the defaults out`,
        EXIT.config,
      );
  }
  const names = wanted.map((tunnel) => (sameAs(tunnel, before) ?? tunnel).name);
  return { yaml, specs: all.filter(({ name }) => names.includes(name)) };
}

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
function sameAs(tunnel: TunnelSpec, all: readonly TunnelSpec[]): TunnelSpec | undefined {
  return all.find(
    (one) =>
      isSameServer(one, tunnel) &&
      one.user === tunnel.user &&
      tunnel.forwards.every((forward) => hasForward(one, forward)),
  );
}
