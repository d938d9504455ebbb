import type { FleetServer } from '../../fleet/document.ts';
import { withStandby } from '../../fleet/standby.ts';
import { createSurvey, type Survey } from '../../fleet/survey.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { escapeUnsafeJson } from '../../lib/text.ts';
import { wrongUsage } from '../../lib/user-error.ts';
import { VERSION } from '../../lib/version.ts';
import { administrator } from '../find/administrator.ts';
import { loginDeps } from '../find/login-deps.ts';
import { wantsColour } from '../text/color.ts';
import { fleetMetrics } from '../text/fleet-metrics.ts';
import { fleetCheck, formatFleet, isWell } from '../text/fleet-text.ts';
import { withQuestions, type Questions } from '../text/prompt.ts';

export interface FleetOptions {
  readonly json: boolean;
  readonly prometheus: boolean;
  readonly nagios: boolean;
  readonly watch: boolean;
}

/**
 * Shows the devices of servers, over logins of the caller's. The exit code is 0 where all of them are well, 1 where one is not; with
 * `nagios` that of a plugin.
 */
export async function fleet(servers: readonly string[], options: FleetOptions): Promise<number> {
  if ([options.json, options.prometheus, options.nagios].filter(Boolean).length > 1)
    throw wrongUsage('--json, --prometheus and --nagios exclude each other');
  return await withQuestions(false, async (questions) => {
    const surveys = await Promise.all(servers.map((server) => surveyOf(server, questions)));
    try {
      for (;;) {
        const answers = withStandby(await lookAtAll(surveys, questions));
        process.stdout.write(textOf(answers, options));
        if (!options.watch) return codeOf(answers, options);
        await sleep(systemClock, WATCH_MS);
      }
    } finally {
      await Promise.all(surveys.map((survey) => survey.close()));
    }
  });
}

const WATCH_MS = 5000;

async function surveyOf(server: string, { person }: Questions): Promise<Survey> {
  const admin = await administrator(server, null, 'the server');
  return createSurvey(admin, { ...loginDeps('error'), person });
}

/** At once; one after the other where a person may be asked, whose answers belong to one question each. */
async function lookAtAll(surveys: readonly Survey[], { person }: Questions): Promise<readonly FleetServer[]> {
  if (person === null) return await Promise.all(surveys.map((survey) => survey.look(NEVER)));
  const answers: FleetServer[] = [];
  for (const survey of surveys) answers.push(await survey.look(NEVER));
  return answers;
}

function textOf(servers: readonly FleetServer[], { json, prometheus, nagios, watch }: FleetOptions): string {
  if (json) return `${escapeUnsafeJson(JSON.stringify({ version: VERSION, servers }, null, watch ? 0 : 2))}\n`;
  if (prometheus) return fleetMetrics(servers);
  if (nagios) return `${fleetCheck(servers).text}\n`;
  return `${watch && process.stdout.isTTY ? CLEAR_SCREEN : ''}${formatFleet(servers, wantsColour())}`;
}

const CLEAR_SCREEN = '\u001b[H\u001b[2J';

function codeOf(answers: readonly FleetServer[], { nagios }: FleetOptions): number {
  if (nagios) return fleetCheck(answers).code;
  return isWell(answers) ? EXIT.ok : EXIT.failed;
}
