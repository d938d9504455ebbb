import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createFile } from '../../lib/files/create-file.ts';
import { report } from '../text/report.ts';

/**
 * Hands a script for the server to the person who has to run it there: as a file of this name, see writeScript(), or where standard
 * output leads. `besides` is said behind how a script is to be run that went into a pipe, or was written into a file.
 */
export async function handOut(
  script: string,
  name: string,
  directory: string,
  besides: { readonly piped?: string; readonly written?: string } = {},
): Promise<void> {
  if (!process.stdout.isTTY) {
    report(`the server needs this script: read it, and run it there as root${besides.piped ?? ''}`);
    process.stdout.write(script);
    return;
  }
  const path = await writeScript(script, name, directory);
  report(
    `the server needs the script ${path}: read it, bring it there and run it as root (sudo sh ${name})${besides.written ?? ''}`,
  );
}

/**
 * Writes a script into the current directory, or where that cannot be into another; resolves with its path. An older one is replaced: it
 * was generated, too.
 */
export async function writeScript(script: string, name: string, directory: string): Promise<string> {
  return await write(name, script).catch(() => write(join(directory, name), script));
}

async function write(name: string, script: string): Promise<string> {
  // Rejects where the current directory is gone.
  const path = resolve(name);
  await rm(path, { force: true });
  await createFile(path, script, 0o600);
  return path;
}
