import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '../lib/make-directory.ts';

/** Writes a file of mode 0600 whole and flushed: after a loss of power it is the old one or the new one. */
export function writeDurably(path: string, text: string): void {
  makeDirectory(dirname(path));
  const next = `${path}.new`;
  const fd = openSync(next, 'w', 0o600);
  try {
    // Not writeSync(), which writes what still fits on a disk that is nearly full and is content.
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(next, path);
}
