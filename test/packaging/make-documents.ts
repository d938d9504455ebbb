import { execFile } from 'node:child_process';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { tempDir } from '../support/until.ts';

const script = fileURLToPath(new URL('../../packaging/documents.mjs', import.meta.url));

/** The manual pages and completions of the sources as they are, in a folder for the test. */
export async function makeDocuments(t: TestContext): Promise<string> {
  const folder = await tempDir(t);
  const { stderr } = await promisify(execFile)(process.execPath, [script, '--outdir', folder]);
  if (stderr !== '') throw new Error(stderr);
  return folder;
}
