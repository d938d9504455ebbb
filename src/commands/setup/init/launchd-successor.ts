import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createCandidate, removeCandidate } from '../../../config/candidate.ts';
import type { ConfigEnvironment } from '../../../config/input/environment.ts';
import { renderJob } from '../../../install/launchd/job.ts';
import { systemLaunchctl } from '../../../install/launchd/launchctl.ts';
import { launchdPlan } from '../../../install/launchd/plan.ts';
import type { Successor } from '../../../install/launchd/replace-jobs.ts';
import type { LaunchdService } from '../../../install/launchd/service.ts';
import { isLoaded, unloadService } from '../../../install/launchd/unload.ts';
import type { Step } from '../../../install/steps/step.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { createFile } from '../../../lib/files/create-file.ts';
import { makeDirectory } from '../../../lib/files/make-directory.ts';
import { readTextIfThere } from '../../../lib/files/read-file.ts';
import { pathOwner } from '../../../lib/files/path-owner.ts';
import { replaceFile } from '../../../lib/files/replace-file.ts';
import { UserError } from '../../../lib/user-error.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { confirm } from '../../daemon/confirm.ts';
import { request } from '../../find/daemon-request.ts';
import { daemonStatus } from '../../find/daemon-status.ts';
import { installService } from '../../service/install-launchd.ts';
import { report } from '../../text/report.ts';
import { untilVerified } from './finish.ts';
import type { JobsPlan } from './launchd-plan.ts';
import { logInOnce } from '../log-in-once.ts';

/** By whom the command is called, and what applies the steps of the installation. */
export interface Means {
  readonly caller: ConfigEnvironment;
  readonly apply: (steps: readonly Step[]) => Promise<void>;
}

/** The service, with these tunnels. */
export async function successorOf(plan: JobsPlan, service: LaunchdService, means: Means): Promise<Successor> {
  if ((await daemonStatus(service.config)) !== null) return inRunningService(plan, service);
  if (await isLoaded(service, systemLaunchctl(process.env)))
    throw new UserError(`${service.target} is loaded, and its daemon does not answer: run tunneld install first`);
  return inNewService(plan, service, means, await readTextIfThere(service.plist));
}

/** The service does not run: it is loaded from a plist that no start of the machine reads, until the tunnels are up. */
function inNewService(
  plan: JobsPlan,
  service: LaunchdService,
  { caller, apply }: Means,
  plist: string | null,
): Successor {
  const { before, yaml, specs } = plan;
  const deps = { clock: systemClock, launchctl: systemLaunchctl(process.env) };
  const passwords = passwordFiles(plan);
  return {
    tryBeside: () => passwords.with(() => tryLogins(plan, service)),
    start: async (folder) => {
      await write(service.config, before, yaml);
      const onTrial = { ...service, plist: join(folder, 'service', basename(service.plist)) };
      makeDirectory(dirname(onTrial.plist));
      await installService(onTrial, { dryRun: false, start: true }, apply, caller);
    },
    prove: () => proveAll(service, specs),
    keep: () => apply(launchdPlan(service, [])),
    undo: async () => {
      try {
        await unloadService(service, deps);
      } finally {
        await putBack(service.plist, plist);
        await putBack(service.config, before);
        await passwords.remove();
      }
    },
    kept: { path: service.plist, text: renderJob(service) },
    // The configuration keeps the tunnels then, which nothing runs: the same command goes on with it.
    scripts: { keep: '', undo: `launchctl bootout ${service.target}` },
  };
}

/** The running service tries the configuration out, and goes back by itself where it is not confirmed. */
function inRunningService(plan: JobsPlan, { config, target }: LaunchdService): Successor {
  const { before, yaml, specs } = plan;
  const passwords = passwordFiles(plan);
  let candidate: string | null = null;
  // It reads the file anew, and ends a trial.
  const reread = `launchctl kill SIGHUP ${target}`;
  return {
    tryBeside: () =>
      passwords.with(async () => {
        if (yaml !== before) refuseForeign(config);
        await tryLogins(plan, { config });
        if (yaml === before) return;
        const { trial } = await request(config, { command: 'status' }, null);
        candidate = await createCandidate(config, yaml, trial?.candidate ?? null);
      }),
    start: async () => {
      if (candidate === null) return;
      await request(config, { command: 'apply', candidate, withinMs: TRIAL_MS + specs.length * TRIAL_MS }, null);
    },
    prove: () => proveAll({ config }, specs),
    keep: () => (candidate === null ? Promise.resolve() : confirm(config, (lines) => report(lines.trimEnd()))),
    undo: async () => {
      try {
        if (candidate !== null) await request(config, { command: 'reload' }, null);
      } finally {
        if (candidate !== null) await removeCandidate(config, candidate);
        await passwords.remove();
      }
    },
    kept: { path: config, text: yaml },
    scripts: { keep: reread, undo: reread },
  };
}

/** Root writes no candidate into a folder of the account's, which the service's is. */
function refuseForeign(config: string): void {
  if (process.getuid?.() !== 0 || pathOwner(config).uid === 0) return;
  throw new UserError(
    `the service runs, and root tries nothing out in ${dirname(config)}, which belongs to its account: run sudo tunneld uninstall, which keeps the configuration, then this again, which starts the service with all tunnels`,
  );
}

/** Longer than the proof of one tunnel, and of none. */
const TRIAL_MS = 60_000;

/** A wrong key or password shows while what works is not touched. */
async function tryLogins({ before, specs }: JobsPlan, { config }: Pick<LaunchdService, 'config'>): Promise<void> {
  if ((await readTextIfThere(config)) !== before)
    throw new UserError(`${config} was changed meanwhile, and nothing was done: run this again`);
  for (const spec of specs) await logInOnce(spec);
}

async function proveAll({ config }: Pick<LaunchdService, 'config'>, specs: readonly TunnelSpec[]): Promise<void> {
  for (const { name } of specs)
    if ((await untilVerified(config, name)) !== EXIT.ok)
      throw new UserError(`${name} did not come up in the place of what kept it up before`);
}

/** The files that are made for passwords, and go with what fails. */
function passwordFiles({ passwords }: JobsPlan) {
  const made: string[] = [];
  const remove = async () => {
    for (const path of made) await rm(path, { force: true });
  };
  return {
    with: async (work: () => Promise<void>) => {
      try {
        for (const { path, text } of passwords) {
          makeDirectory(dirname(path));
          // One that a killed command has left.
          if ((await readTextIfThere(path)) === text) continue;
          await createFile(path, text, 0o600);
          made.push(path);
        }
        await work();
      } catch (error) {
        await remove();
        throw error;
      }
    },
    remove,
  };
}

async function write(file: string, before: string | null, text: string): Promise<void> {
  if (before === null) {
    makeDirectory(dirname(file));
    await createFile(file, text, 0o600);
  } else await replaceFile(file, text);
}

async function putBack(file: string, before: string | null): Promise<void> {
  if (before === null) await rm(file, { force: true });
  else if ((await readTextIfThere(file)) !== before) await write(file, before, before);
}
