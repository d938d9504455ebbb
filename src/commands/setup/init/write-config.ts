import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { parseConfig } from '../../../config/parse.ts';
import { createFile } from '../../../lib/files/create-file.ts';
import { makeDirectory } from '../../../lib/files/make-directory.ts';
import { readTextIfThere } from '../../../lib/files/read-file.ts';
import { replaceFile } from '../../../lib/files/replace-file.ts';
import { UserError } from '../../../lib/user-error.ts';
import { addToConfig, newConfig, type NewTunnel } from '../../../setup/new-config.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { changeConfig } from '../change-config.ts';
import type { Comparison } from './compare.ts';
import { schemaUrl } from './schema-url.ts';
import type { Task } from './task.ts';
import { isSystems } from './wanted.ts';

/**
 * Writes the tunnel into the file, unless that has it; changed keys by a trial. Rejects with a UserError where that is not confirmed, or the
 * changed tunnel does not come up.
 */
export async function writeConfig(
  { file, configFlag, outcome }: Task,
  wanted: NewTunnel,
  { existing, edited }: Comparison,
  confirm: Questions['confirm'],
): Promise<void> {
  if (existing !== null) {
    if (edited === null) return report(`${file} has this tunnel already`);
    if (!(await confirm(`Change the tunnel ${wanted.name} in ${file}?`)))
      throw new UserError(`${file} was left as it is`);
    await changeConfig(configFlag, file, edited);
    outcome.changed(`changed ${wanted.name} in ${file}`);
    return;
  }
  const text = await readTextIfThere(file);
  if (text === null) {
    makeDirectory(dirname(file));
    await createFile(file, newConfig(wanted, schemaUrl(process.argv[1] ?? '')), await modeIn(dirname(file)));
    outcome.changed(`wrote ${file}`);
    return;
  }
  if (!(await confirm(`Add the tunnel ${wanted.name} to ${file}?`))) throw new UserError(`${file} was left as it is`);
  const added = addToConfig(text, wanted);
  await parseConfig(added, file, systemEnvironment());
  await replaceFile(file, added);
  outcome.changed(`added to ${file}`);
}

/** In a folder that its group may read, as a package makes it for the service, so is the file: the service reads it as soon as it exists. */
async function modeIn(directory: string): Promise<number> {
  const { mode } = await stat(directory);
  return (mode & 0o070) === 0o050 && isSystems(directory) ? 0o640 : 0o600;
}
