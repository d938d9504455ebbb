import { rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { systemEnvironment } from '../../config/input/environment.ts';
import { parseConfig } from '../../config/parse.ts';
import { replaceFile, writeAnew } from '../../lib/files/replace-file.ts';
import { apply } from '../daemon/apply.ts';
import { daemonStatus } from '../find/daemon-status.ts';
import { report } from '../text/report.ts';

/**
 * Replaces a configuration: where the daemon runs on it through a trial, so that what ran before runs again where the new one does not
 * come up, else at once. Rejects with a UserError, and the file as it was.
 */
export async function changeConfig(flag: string, file: string, text: string): Promise<void> {
  const check = (changed: string) => parseConfig(changed, file, systemEnvironment());
  const running = await daemonStatus(flag);
  if (running === null || resolve(running.config) !== file) {
    await replaceFile(file, text, check);
    report(`${file} is changed; no daemon runs on it now`);
    return;
  }
  await check(text);
  // Beside it, because paths in it may be relative, and hidden from systemd's credentials.
  const beside = join(dirname(file), `.${basename(file)}.changed`);
  await writeAnew(beside, text, await stat(file));
  try {
    await apply(flag, beside, null, (lines) => report(lines.trimEnd()));
  } finally {
    await rm(beside, { force: true });
  }
}
