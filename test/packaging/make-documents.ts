import { execFile } from 'node:child_process';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { tempDir } from '../support/until.ts';

const script = fileURLToPath(new URL('../../packaging/documents.mjs', import.meta.url));

/** The manual pages and completions of the sources as they are, in a folder for all tests of this process, which only read them. */
export function makeDocuments(t: TestContext): Promise<string> {
  return (made ??= make(t));
}

let made: Promise<string> | null = null;

async function make(t: TestContext): Promise<string> {
  const folder = await tempDir(t);
  const { stderr } = await promisify(execFile)(process.execPath, [script, '--outdir', folder]);
  if (stderr !== '') throw new Error(stderr);
  return folder;
}
