import { dirname, join } from 'node:path';
import { adHocConfig } from '../../../config/command-line/ad-hoc.ts';
import type { ConfigEnvironment } from '../../../config/input/environment.ts';
import { findKeepers } from '../../../install/keepers/find.ts';
import type { Keeper } from '../../../install/keepers/keeper.ts';
import { thisMachine } from '../../../install/keepers/machine.ts';
import { sortKeepers, tunnelsIn, withTunnels } from '../../../install/keepers/plan-from.ts';
import { systemLaunchctl } from '../../../install/launchd/launchctl.ts';
import type { LaunchdJob, LaunchdService } from '../../../install/launchd/service.ts';
import { isLoaded } from '../../../install/launchd/unload.ts';
import { runProgram } from '../../../install/steps/run-program.ts';
import { readTextIfThere } from '../../../lib/files/read-file.ts';
import { UserError } from '../../../lib/user-error.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { chosenKeepers } from './chosen-keepers.ts';
import { nameOf } from './wanted.ts';

export type JobsPlan = Awaited<ReturnType<typeof planJobs>>;

/**
 * Which jobs are taken over, and what the configuration is then. `before` is its text, null for none; `passwords` are files with those that
 * sshpass had in its arguments.
 */
export async function planJobs(what: string, service: LaunchdService, env: ConfigEnvironment) {
  const { account, config } = service;
  const accounts = [{ name: account.name, uid: account.uid, gid: 0, comment: '', home: account.home }];
  const machine = { ...(await thisMachine(runProgram)), platform: 'darwin' as const, processes: [], accounts };
  const before = await readTextIfThere(config);
  const there = await tunnelsIn(before, config, env);
  const jobs = new Map<Keeper, LaunchdJob>();
  const made = new Map<Keeper, readonly MadeTunnel[]>();
  const { taken, left } = await sortKeepers(chosenKeepers(findKeepers(machine), what), there, async (keeper) => {
    jobs.set(keeper, await jobOf(keeper, service));
    const used = [...there, ...[...made.values()].flat().map(({ spec }) => spec)];
    const own = await tunnelsOf(keeper, used, service, env);
    made.set(keeper, own);
    return own.map(({ spec }) => spec);
  });
  const tunnels = taken.flatMap((keeper) => made.get(keeper)!);
  const wanted = tunnels.map(({ spec }) => spec);
  const added = taken.length === 0 ? { yaml: '', specs: [] } : await withTunnels(before, wanted, config, env, '');
  const names = added.specs.map(({ name }) => name);
  const passwords = tunnels.flatMap(({ spec, password }) => (names.includes(spec.name) ? (password ?? []) : []));
  return { taken, left, jobs: taken.map((keeper) => jobs.get(keeper)!), before, ...added, passwords };
}

/** Rejects with a UserError for one that cannot be taken over. */
async function jobOf({ hold, file, why, commands }: Keeper, { account, kind }: LaunchdService): Promise<LaunchdJob> {
  if (why !== null) throw new UserError(why);
  if (hold.type !== 'launchd' || file === null) throw new UserError(NO_JOB);
  const other = commands.find(({ user }) => user !== account.name);
  if (other !== undefined)
    throw new UserError(
      `it runs as ${other.user}, and the service would run as ${account.name}: run this from that account`,
    );
  const { domain, label } = hold;
  const target = `${domain}/${label}`;
  const isDaemon = domain === 'system';
  if (kind === 'agent' && isDaemon) throw new UserError('it is a daemon of the system: run this with sudo');
  if (!(await isLoaded({ target }, systemLaunchctl(process.env)))) throw new UserError('launchd does not run it');
  return { domain, target, plist: file, kind: isDaemon ? 'daemon' : 'agent', account };
}

const NO_JOB = 'it is no job of launchd: end it yourself, and make its tunnel with tunneld init';

interface MadeTunnel {
  readonly spec: TunnelSpec;
  readonly password: { readonly path: string; readonly text: string } | null;
}

/** The service has the account of the job, and reads its keys where they are. */
async function tunnelsOf(
  { commands }: Keeper,
  used: readonly TunnelSpec[],
  { config }: LaunchdService,
  env: ConfigEnvironment,
): Promise<readonly MadeTunnel[]> {
  const made: MadeTunnel[] = [];
  for (const { args, environment, directory, password } of commands) {
    const own = { ...env, env: { ...env.env, ...environment }, directory };
    const [spec] = (await adHocConfig(args, 'job', own)).tunnels;
    const name = freeName(nameOf(spec!.host), [...used, ...made.map((one) => one.spec)]);
    const path = join(dirname(config), `${name}.password`);
    const passwordFile = password === null ? spec!.passwordFile : password.type === 'file' ? password.path : path;
    made.push({
      spec: { ...spec!, name, passwordFile },
      password: password?.type === 'text' ? { path, text: `${password.text}\n` } : null,
    });
  }
  return made;
}

function freeName(name: string, used: readonly TunnelSpec[]): string {
  for (let number = 1; ; number += 1) {
    const free = number === 1 ? name : `${name}-${number}`;
    if (!used.some((one) => one.name === free)) return free;
  }
}
