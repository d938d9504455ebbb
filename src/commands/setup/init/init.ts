import { resolve } from 'node:path';
import { changing } from '../../../config/change-lock.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { errorCode, errorText } from '../../../lib/text.ts';
import { asUserError, UserError, wrongUsage } from '../../../lib/user-error.ts';
import { findConfig } from '../../find/config-file.ts';
import { printOnlyJson } from '../../text/only-json.ts';
import { type Questions, withQuestions } from '../../text/prompt.ts';
import { printError, report } from '../../text/report.ts';
import { initFrom, offerFrom } from './from.ts';
import { makeTunnel } from './new-tunnel.ts';
import { initDocument, Outcome } from './outcome.ts';
import type { InitOptions } from './task.ts';

/**
 * Makes a tunnel from nothing: key, host key, configuration, the script for the server, and the proof. Repeated, it goes on where it was, and
 * changes nothing where all is so. The exit code is that of doctor at its end; 10 for a dry run that would change something.
 */
export async function init(flag: string | null, options: InitOptions): Promise<number> {
  const outcome = new Outcome();
  if (!options.json) return await initWith(flag, options, outcome);
  let code: number = EXIT.failed;
  await printOnlyJson(async () => {
    let failure: UserError | null = null;
    try {
      code = await initWith(flag, options, outcome);
    } catch (error) {
      failure = asUserError(error);
      if (failure === null) throw error;
      code = failure.exit;
      printError(failure);
    }
    return initDocument(outcome, code, failure?.message ?? null);
  });
  return code;
}

async function initWith(flag: string | null, options: InitOptions, outcome: Outcome): Promise<number> {
  try {
    return await withQuestions(options.yes, (questions) => fromOrNew(flag, options, questions, outcome));
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error;
    throw new UserError(`${errorText(error)}: ${MAY_NOT_WRITE}`, EXIT.failed, { cause: error });
  }
}

const MAY_NOT_WRITE = 'run this with sudo, or name a file of your own with --config FILE';

async function fromOrNew(
  flag: string | null,
  options: InitOptions,
  questions: Questions,
  outcome: Outcome,
): Promise<number> {
  const from = options.from ?? (isBare(options) && (await offerFrom(flag, questions)) ? 'autossh' : null);
  if (from !== null && options.server !== null)
    throw wrongUsage('--from takes over what is there: leave the server out');
  if (from !== null) return await initFrom(flag, from, options, questions, outcome);
  const file = resolve(await findConfig(flag));
  const make = () => makeTunnel(file, flag ?? file, options, questions, outcome);
  const code = options.dryRun ? await make() : await changing(file, 'init', make);
  if (outcome.changes.length === 0 && code === EXIT.ok)
    report('nothing to do: all is so already, and nothing was changed');
  return code;
}

/** Nothing was said of what to make. */
function isBare({ server, via, forwards, set, name, i, certificate, yes }: InitOptions): boolean {
  const given = [server, via, name, i, certificate];
  return given.every((one) => one === null) && forwards.length === 0 && set.length === 0 && !yes;
}
