import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { addPrinted } from '../../../config/add-tunnels.ts';
import { changing } from '../../../config/change-lock.ts';
import { adHocConfig } from '../../../config/command-line/ad-hoc.ts';
import type { ConfigEnvironment } from '../../../config/input/environment.ts';
import { configCandidates } from '../../../config/input/paths.ts';
import { parseConfig } from '../../../config/parse.ts';
import { printConfig } from '../../../config/print.ts';
import { findKeepers } from '../../../install/keepers/find.ts';
import type { Keeper } from '../../../install/keepers/keeper.ts';
import { thisMachine } from '../../../install/keepers/machine.ts';
import { sameAs } from '../../../install/keepers/plan-from.ts';
import { systemLaunchctl } from '../../../install/launchd/launchctl.ts';
import { type LaunchdJob, replaceJobs, type Successor } from '../../../install/launchd/replace-jobs.ts';
import type { LaunchdService } from '../../../install/launchd/service.ts';
import { isLoaded, unloadService } from '../../../install/launchd/unload.ts';
import { runProgram } from '../../../install/steps/run-program.ts';
import type { Step } from '../../../install/steps/step.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { createFile } from '../../../lib/files/create-file.ts';
import { makeDirectory } from '../../../lib/files/make-directory.ts';
import { readText } from '../../../lib/files/read-file.ts';
import { replaceFile } from '../../../lib/files/replace-file.ts';
import { errorCode } from '../../../lib/text.ts';
import { UserError } from '../../../lib/user-error.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { outliveTerminal } from '../../daemon/apply.ts';
import { daemonStatus } from '../../find/daemon-status.ts';
import { installLaunchd } from '../../service/install-launchd.ts';
import { daemonEnvironment, requestedService } from '../../service/launchd-service.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { changeConfig } from '../change-config.ts';
import { chosenKeepers, describeKeeper } from './chosen-keepers.ts';
import { untilVerified } from './finish.ts';
import type { FromOptions } from './from.ts';
import { logInOnce } from './log-in-once.ts';
import type { Outcome } from './outcome.ts';
import { nameOf } from './wanted.ts';

/**
 * Takes over the jobs of launchd that keep ssh tunnels up on this Mac: with sudo by a daemon, else by an agent. `apply` applies the steps
 * of the installation. See initFrom().
 */
export async function initFromLaunchd(
  what: string,
  options: FromOptions,
  questions: Questions,
  outcome: Outcome,
  caller: ConfigEnvironment,
  apply: (steps: readonly Step[]) => Promise<void>,
): Promise<number> {
  const isAgent = caller.uid !== 0;
  // An agent's is the account's own.
  const config = isAgent ? configCandidates(null, caller).at(-1)! : null;
  const service = await requestedService('install', config, isAgent, caller);
  const plan = await planOf(what, service, daemonEnvironment(service, caller));
  for (const { keeper } of plan.taken) report(describeKeeper(keeper));
  for (const { keeper, why } of plan.left) report(`${keeper.name} is left as it is: ${why}`);
  const result = plan.left.length > 0 ? EXIT.failed : EXIT.ok;
  if (plan.taken.length === 0) {
    report(result === EXIT.ok ? 'nothing to do: nothing here keeps an ssh tunnel up' : 'nothing was changed');
    return result;
  }
  outcome.file = service.config;
  outcome.changes.push(...plan.taken.map(({ keeper }) => `take over ${describeKeeper(keeper)}`));
  if (options.dryRun) {
    for (const { keeper } of plan.taken) process.stdout.write(`would stop and disable ${keeper.name}\n`);
    process.stdout.write(`would write ${service.config}:\n${plan.yaml}`);
    return EXIT.wouldChange;
  }
  const names = plan.taken.map(({ keeper }) => keeper.name).join(', ');
  if (!options.yes && !(await questions.confirm(`Let tunneld keep these tunnels, in the place of ${names}?`)))
    throw new UserError('nothing was changed');
  outliveTerminal();
  const install = () =>
    installLaunchd(service.config, { user: isAgent, dryRun: false, start: true, yes: true }, apply, caller);
  await changing(service.config, async () =>
    replaceJobs(
      plan.taken.map(({ job }) => job),
      await successorOf(plan, service, install),
      { clock: systemClock, launchctl: systemLaunchctl(process.env), env: process.env },
    ),
  );
  for (const { keeper } of plan.taken) report(`${keeper.name} is stopped and disabled; the file is kept`);
  return result;
}

interface JobsPlan {
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

async function planOf(what: string, service: LaunchdService, env: ConfigEnvironment): Promise<JobsPlan> {
  const { account } = service;
  const machine = { ...(await thisMachine(runProgram)), platform: 'darwin' as const, processes: [] };
  const accounts = [{ name: account.name, uid: account.uid, gid: 0, comment: '', home: account.home }];
  const before = await textOf(service.config);
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
      made.push(...(await tunnelsOf(keeper, used, service, env)));
      taken.push({ keeper, job });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      left.push({ keeper, why: error.message });
    }
  }
  const missing = made.filter(({ spec }) => sameAs(spec, there) === undefined);
  const printed = printConfig(
    { tunnels: missing.map(({ spec }) => spec), log: { level: 'info', file: null } } as never,
    env,
  );
  const yaml = before === null ? printed : missing.length === 0 ? before : addPrinted(before, printed);
  const all = taken.length === 0 ? [] : (await parseConfig(yaml, service.config, env)).tunnels;
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

/** The service, with these tunnels. */
async function successorOf(
  { before, yaml, specs, passwords }: JobsPlan,
  service: LaunchdService,
  install: () => Promise<void>,
): Promise<Successor> {
  const file = service.config;
  const deps = { clock: systemClock, launchctl: systemLaunchctl(process.env) };
  const isRunning = (await daemonStatus(file)) !== null;
  if (!isRunning && (await isLoaded(service, deps.launchctl)))
    throw new UserError(`${service.target} is loaded, and its daemon does not answer: run tunneld install first`);
  return {
    tryBeside: async () => {
      makeDirectory(dirname(file));
      const made: string[] = [];
      try {
        for (const { path, text } of passwords) {
          await createFile(path, text, 0o600);
          made.push(path);
        }
        for (const spec of specs) await logInOnce(spec);
      } catch (error) {
        for (const path of made) await rm(path, { force: true });
        throw error;
      }
    },
    start: async () => {
      if (isRunning) return await changeConfig(file, file, yaml);
      await write(file, before, yaml);
      await install();
    },
    prove: async () => {
      for (const { name } of specs)
        if ((await untilVerified(file, name)) !== EXIT.ok)
          throw new UserError(`${name} did not come up in the place of what kept it up before`);
    },
    undo: async () => {
      if (!isRunning) {
        await unloadService(service, deps);
        await rm(service.plist, { force: true });
        if (before === null) await rm(file, { force: true });
        else await write(file, yaml, before);
      } else if (before !== null && (await readText(file)) !== before) await changeConfig(file, file, before);
      for (const { path } of passwords) await rm(path, { force: true });
    },
  };
}

async function write(file: string, before: string | null, text: string): Promise<void> {
  if (before === null) return await createFile(file, text, 0o600);
  await replaceFile(file, text, () => Promise.resolve());
}

async function textOf(file: string): Promise<string | null> {
  try {
    return await readText(file);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw new UserError(`${basename(file)} cannot be read: ${String(errorCode(error))}`, EXIT.failed, { cause: error });
  }
}
