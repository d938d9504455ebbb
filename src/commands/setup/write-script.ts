import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createFile } from '../../lib/files/create-file.ts';
import { report } from '../text/report.ts';

/**
 * Hands a script for the server to the person who has to run it there: as a file of this name in the current directory, or where standard
 * output leads.
 */
export async function handOut(script: string, name: string): Promise<void> {
  if (!process.stdout.isTTY) {
    report('the server needs this script: read it, and run it there as root');
    process.stdout.write(script);
    return;
  }
  report(
    `the server needs the script ${await writeScript(resolve(name), script)}: read it, bring it there and run it as root (sudo sh ${name})`,
  );
}

/** An older one is replaced: it was generated, too. */
export async function writeScript(path: string, script: string): Promise<string> {
  await rm(path, { force: true });
  await createFile(path, script, 0o600);
  return path;
}
