import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Whether ssh2 will find its compiled part. Asks without loading ssh2, which would take most of the time of --version. */
export function hasNativeCrypto(): boolean {
  try {
    const file = besideUs(import.meta.dirname);
    if (file === null) return false;
    createRequire(import.meta.url)(file);
    return true;
  } catch {
    return false; // made for another processor or another Node: ssh2 does without it as well
  }
}

/** As the bundle looks for it (packaging/build.mjs), not as Node does: NODE_PATH and HOME may be those of another user. */
function besideUs(folder: string): string | null {
  const file = join(folder, 'node_modules', COMPILED);
  if (existsSync(file)) return file;
  return dirname(folder) === folder ? null : besideUs(dirname(folder));
}

const COMPILED = 'ssh2/lib/protocol/crypto/build/Release/sshcrypto.node';
