import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorText } from '../lib/text.ts';
import type { LogOutput } from './log-output.ts';

/**
 * Appends log lines to a file of mode 0600. At `maxBytes` the file becomes FILE.1 and a new one is begun, so that the two never
 * take more than twice that. A disk that is full or gone costs lines, never the daemon: `onTrouble` hears of it once, until a
 * line can be written again.
 */
export function fileOutput(path: string, onTrouble: (message: string) => void, maxBytes = 5 * 1024 * 1024): LogOutput {
  let fd: number | null = null;
  let size = 0;
  let troubled = false;

  const open = () => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    fd = openSync(path, 'a', 0o600);
    size = fstatSync(fd).size;
  };
  const rotate = () => {
    if (fd !== null) closeSync(fd);
    fd = null;
    renameSync(path, `${path}.1`);
    open();
  };
  return (line) => {
    try {
      if (fd === null) open();
      if (size >= maxBytes) rotate();
      size += writeSync(fd!, line);
      troubled = false;
    } catch (error) {
      if (troubled) return;
      troubled = true;
      onTrouble(`cannot write the log file ${path}: ${errorText(error)}`);
    }
  };
}
