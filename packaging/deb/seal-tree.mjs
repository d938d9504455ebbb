import { chmodSync, lutimesSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Sets mode and time of everything in the tree, independent of this machine's umask and clock. */
export function sealTree(path, date) {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) sealTree(child, date);
    else {
      if (entry.isFile()) chmodSync(child, PROGRAMS.test(child) ? 0o755 : 0o644);
      lutimesSync(child, date, date);
    }
  }
  chmodSync(path, 0o755);
  lutimesSync(path, date, date);
}

const PROGRAMS = /\/usr\/lib\/tunneld\/(?:cli|make-code-cache)\.js$|\/DEBIAN\/(?:pre|post)(?:inst|rm)$/;
