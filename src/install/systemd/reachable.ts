import { constants } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode } from '../../lib/text.ts';

/** The mode of a path; null where it does not exist. */
export type ModeOf = (path: string) => Promise<number | null>;

/**
 * Why the service could not read this file of the program; null where it can. Its sandbox has no home directories and a private /tmp,
 * and its user is in no other group.
 */
export async function whyUnreachable(file: string, modeOf: ModeOf = modeOnDisk): Promise<string | null> {
  const hidden = HIDDEN.find((directory) => file.startsWith(`${directory}/`));
  if (hidden !== undefined) return `${file} is in ${hidden}, which the service cannot see`;
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    const mode = await modeOf(directory);
    if (mode === null) return `${directory} does not exist`;
    if ((mode & constants.S_IXOTH) === 0) return `${directory} is closed to other users (mode ${octal(mode)})`;
    if (directory === '/') break;
  }
  const mode = await modeOf(file);
  if (mode === null) return `${file} does not exist`;
  return (mode & constants.S_IROTH) === 0 ? `${file} is not readable by other users (mode ${octal(mode)})` : null;
}

/** ProtectHome=yes and PrivateTmp=yes of the unit. */
const HIDDEN = ['/home', '/root', '/run/user', '/tmp', '/var/tmp'];

/** The files of the program: the bundle, its chunks, and what says that they are CommonJS. */
export async function filesOfProgram(script: string): Promise<readonly string[]> {
  const chunks = join(dirname(script), 'chunks');
  const names = await readdir(chunks).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  if (names.length === 0) return [script];
  return [script, join(dirname(script), 'package.json'), ...names.map((name) => join(chunks, name))];
}

async function modeOnDisk(path: string): Promise<number | null> {
  const stats = await stat(path).catch(() => null);
  return stats && stats.mode & 0o7777;
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
