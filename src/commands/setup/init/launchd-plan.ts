import { dirname, join } from 'node:path';
import { addPrinted } from '../../../config/add-tunnels.ts';
import { adHocConfig } from '../../../config/command-line/ad-hoc.ts';
import type { ConfigEnvironment } from '../../../config/input/environment.ts';
import { parseConfig } from '../../../config/parse.ts';
import { printConfig } from '../../../config/print.ts';
import { findKeepers } from '../../../install/keepers/find.ts';
import type { Keeper } from '../../../install/keepers/keeper.ts';
import { thisMachine } from '../../../install/keepers/machine.ts';
import { refuseOther, sameAs } from '../../../install/keepers/plan-from.ts';
import { systemLaunchctl } from '../../../install/launchd/launchctl.ts';
import type { LaunchdJob } from '../../../install/launchd/replace-jobs.ts';
import type { LaunchdService } from '../../../install/launchd/service.ts';
import { isLoaded } from '../../../install/launchd/unload.ts';
import { refuseStandby } from '../../../install/system-config.ts';
import { runProgram } from '../../../install/steps/run-program.ts';
import { readTextIfThere } from '../../../lib/files/read-file.ts';
import { UserError } from '../../../lib/user-error.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { chosenKeepers } from './chosen-keepers.ts';
import { nameOf } from './wanted.ts';

/** Which jobs are taken over, and what the configuration is then. */
export interface JobsPlan {
  readonly taken: readonly { readonly keeper: Keeper; readonly job: LaunchdJob }[];
  readonly left: readonly { readonly keeper: Keeper; readonly why: string }[];
  /** The configuration before, null for none, and after. */
  readonly before: string | null;
  readonly yaml: string;
  /** What does the work of those that are taken. */
  readonly specs: readonly TunnelSpec[];
  /** Files with the passwords that sshpass had in its arguments. */
  readonly passwords: readonly { readonly path: string; readonly text: string }[];
}

export async function planJobs(what: string, service: LaunchdService, env: ConfigEnvironment): Promise<JobsPlan> {
  const { account } = service;
  const machine = { ...(await thisMachine(runProgram)), platform: 'darwin' as const, processes: [] };
  const accounts = [{ name: account.name, uid: account.uid, gid: 0, comment: '', home: account.home }];
  const before = await readTextIfThere(service.config);
  const there = before === null ? [] : (await parseConfig(before, service.config, env)).tunnels;
  const taken: { keeper: Keeper; job: LaunchdJob }[] = [];
  const left: { keeper: Keeper; why: string }[] = [];
  const made: MadeTunnel[] = [];
  for (const keeper of chosenKeepers(findKeepers({ ...machine, accounts }), what)) {
    const job = jobOf(keeper, service);
    const why = await whyLeft(keeper, job, service);
    if (job === null || why !== null) {
      left.push({ keeper, why: why ?? NO_JOB });
      continue;
    }
    try {
      const used = [...there, ...made.map(({ spec }) => spec)].map(({ name }) => name);
      const own = await tunnelsOf(keeper, used, service, env);
      for (const same of own.flatMap(({ spec }) => sameAs(spec, there) ?? [])) refuseStandby(same);
      made.push(...own);
      taken.push({ keeper, job });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      left.push({ keeper, why: error.message });
    }
  }
  const missing = made.filter(({ spec }) => sameAs(spec, there) === undefined);
  const print = (tunnels: readonly TunnelSpec[]) =>
    printConfig({ tunnels, log: { level: 'info', file: null } } as never, env);
  const printed = print(missing.map(({ spec }) => spec));
  const yaml = before === null ? printed : missing.length === 0 ? before : addPrinted(before, printed);
  const all = taken.length === 0 ? [] : (await parseConfig(yaml, service.config, env)).tunnels;
  if (taken.length > 0)
    refuseOther(
      missing.map(({ spec }) => spec),
      all,
      service.config,
      print,
    );
  const names = made.map(({ spec }) => (sameAs(spec, there) ?? spec).name);
  return {
    taken,
    left,
    before,
    yaml,
    specs: all.filter(({ name }) => names.includes(name)),
    passwords: missing.flatMap(({ password }) => (password === null ? [] : [password])),
  };
}

const NO_JOB = 'it is no job of launchd: end it yourself, and make its tunnel with tunneld init';

function jobOf({ hold, file }: Keeper, { account }: LaunchdService): LaunchdJob | null {
  if (hold.type !== 'launchd' || file === null) return null;
  const { domain, label } = hold;
  const kind = domain === 'system' ? 'daemon' : 'agent';
  return { domain, target: `${domain}/${label}`, plist: file, kind, account };
}

/** Null where it can be taken over. */
async function whyLeft(
  { why, commands }: Keeper,
  job: LaunchdJob | null,
  { account, kind }: LaunchdService,
): Promise<string | null> {
  if (why !== null || job === null) return why;
  const other = commands.find(({ user }) => user !== account.name);
  if (other !== undefined)
    return `it runs as ${other.user}, and the service would run as ${account.name}: run this from that account`;
  if (kind === 'agent' && job.kind === 'daemon') return 'it is a daemon of the system: run this with sudo';
  return (await isLoaded(job, systemLaunchctl(process.env))) ? null : 'launchd does not run it';
}

interface MadeTunnel {
  readonly spec: TunnelSpec;
  readonly password: JobsPlan['passwords'][number] | null;
}

/** The service has the account of the job, and reads its keys where they are. */
async function tunnelsOf(
  { commands }: Keeper,
  used: readonly string[],
  { config }: LaunchdService,
  env: ConfigEnvironment,
): Promise<readonly MadeTunnel[]> {
  const made: MadeTunnel[] = [];
  for (const { args, environment, directory, password } of commands) {
    const own = { ...env, env: { ...env.env, ...environment }, directory };
    const [spec] = (await adHocConfig(args, 'job', own)).tunnels;
    const name = freeName(nameOf(spec!.host), [...used, ...made.map((one) => one.spec.name)]);
    const path = join(dirname(config), `${name}.password`);
    const passwordFile = password === null ? spec!.passwordFile : password.type === 'file' ? password.path : path;
    made.push({
      spec: { ...spec!, name, passwordFile },
      password: password?.type === 'text' ? { path, text: `${password.text}\n` } : null,
    });
  }
  return made;
}

function freeName(name: string, used: readonly string[]): string {
  for (let number = 1; ; number += 1) {
    const free = number === 1 ? name : `${name}-${number}`;
    if (!used.includes(free)) return free;
  }
}
