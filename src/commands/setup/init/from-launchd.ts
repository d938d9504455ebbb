import { changing } from '../../../config/change-lock.ts';
import type { ConfigEnvironment } from '../../../config/input/environment.ts';
import { configCandidates } from '../../../config/input/paths.ts';
import { systemLaunchctl } from '../../../install/launchd/launchctl.ts';
import { replaceJobs } from '../../../install/launchd/replace-jobs.ts';
import type { Step } from '../../../install/steps/step.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { outliveTerminal } from '../../daemon/apply.ts';
import { daemonEnvironment, requestedService } from '../../service/launchd-service.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { confirmTaking, hasTaken, noteTaken, reportFound, type FromOptions } from './chosen-keepers.ts';
import { planJobs } from './launchd-plan.ts';
import { successorOf } from './launchd-successor.ts';
import type { Outcome } from './outcome.ts';

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
  const make = async () => {
    const plan = await planJobs(what, service, daemonEnvironment(service, caller));
    reportFound(plan);
    const result = plan.left.length > 0 ? EXIT.failed : EXIT.ok;
    if (!hasTaken(plan)) return result;
    noteTaken(plan, service.config, outcome);
    if (options.dryRun) {
      for (const { name } of plan.taken) process.stdout.write(`would stop and disable ${name}\n`);
      process.stdout.write(`would write ${service.config}:\n${plan.yaml}`);
      return EXIT.wouldChange;
    }
    await confirmTaking(plan, questions);
    outliveTerminal();
    const deps = { clock: systemClock, launchctl: systemLaunchctl(process.env), env: process.env };
    await replaceJobs(plan.jobs, await successorOf(plan, service, { caller, apply }), deps);
    for (const { name } of plan.taken) report(`${name} is stopped and disabled; the file is kept`);
    return result;
  };
  // What is asked is asked of the configuration that is changed then.
  return options.dryRun ? await make() : await changing(service.config, 'init --from', make);
}
