import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/**
 * Whether ssh2 will find its native part. Checks without loading ssh2, which would take most of the time of --version.
 */
export function hasNativeCrypto(): boolean {
  try {
    const file = besideUs(import.meta.dirname);
    if (file === null) return false;
    createRequire(import.meta.url)(file);
    return true;
  } catch {
    return false; // built for another processor or another Node: ssh2 works without it
  }
}

/**
 * Looks where the bundle looks (packaging/build.mjs), not where Node does: NODE_PATH and HOME may be another user's.
 */
function besideUs(folder: string): string | null {
  const file = join(folder, 'node_modules', COMPILED);
  if (existsSync(file)) return file;
  return dirname(folder) === folder ? null : besideUs(dirname(folder));
}

const COMPILED = 'ssh2/lib/protocol/crypto/build/Release/sshcrypto.node';
