import { resolve } from 'node:path';
import { changing } from '../../config/change-lock.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { parseConfig } from '../../config/parse.ts';
import { replaceFile } from '../../lib/files/replace-file.ts';
import { applyText } from '../daemon/apply.ts';
import { findConfig } from '../find/config-file.ts';
import { daemonStatus } from '../find/daemon-status.ts';
import { type Questions, withQuestions } from '../text/prompt.ts';
import { report } from '../text/report.ts';

/** Reads and changes a configuration, and asks about it, with no other such command at work on it: see changing(). */
export async function changingConfig(
  flag: string | null,
  command: string,
  yes: boolean,
  work: (file: string, questions: Questions) => Promise<number>,
): Promise<number> {
  const file = resolve(await findConfig(flag));
  return await changing(file, command, () => withQuestions(yes, (questions) => work(file, questions)));
}

/**
 * Replaces a configuration: where the daemon runs on it through a trial, so that what ran before runs again where the new one does not
 * come up, else at once. Rejects with a UserError, and the file as it was.
 */
export async function changeConfig(flag: string, file: string, text: string): Promise<void> {
  const running = await daemonStatus(flag);
  await parseConfig(text, file, systemEnvironment());
  if (running === null || resolve(running.config) !== file) {
    await replaceFile(file, text);
    report(`${file} is changed; no daemon runs on it now`);
    return;
  }
  await applyText(flag, text, running, (lines) => report(lines.trimEnd()));
}
