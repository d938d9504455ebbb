import { chmodSync, lutimesSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Gives everything in the tree its mode and its time, whatever umask and clock of this machine made of them. */
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

const PROGRAMS = /\/usr\/lib\/tunneld\/cli\.js$|\/DEBIAN\/(?:pre|post)(?:inst|rm)$/;
