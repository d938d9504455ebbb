import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Further versions of Node.js that people run it under, beside that of the tests. */
export const FURTHER_NODES = ['22', '24'] as const;

/** The folder that has the program `node` of this version, to stand first in PATH; null where there is none for this machine. */
export function folderOfNode(version: string): string | null {
  const script = join(import.meta.dirname, 'nodes.sh');
  const folder = execFileSync('sh', [script, version], { encoding: 'utf8' }).trim();
  if (existsSync(join(folder, 'node'))) return folder;
  if (process.env['CI'] === 'true') throw new Error(`there is no Node.js ${version} for this machine`);
  return null;
}
