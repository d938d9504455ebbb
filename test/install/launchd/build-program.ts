import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { NODE_FLAGS } from '../../support/tunneld.ts';
import { removeAtExit } from '../../support/until.ts';

/** program.ts as Node.js is given it. It is started often: a bundle starts in a tenth of the time that its sources take. */
export function launchdProgram(): Promise<readonly string[]> {
  return (built ??= build());
}

let built: Promise<readonly string[]> | undefined;

async function build(): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tunneld-program-'));
  removeAtExit(folder);
  const [script, entry] = ['../../../packaging/build.mjs', './program.ts'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  ) as [string, string];
  const outdir = join(folder, 'dist');
  await promisify(execFile)(process.execPath, [script, '--cache', '--entry', entry, '--outdir', outdir]);
  return [...NODE_FLAGS, join(outdir, 'program.js')];
}
