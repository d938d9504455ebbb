import { closeSync, constants, fstatSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '../files/make-directory.ts';
import { checkRootMayWrite } from '../files/path-owner.ts';
import { errorText } from '../text.ts';
import type { LogOutput } from './output.ts';

const { O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;

export interface LogFile {
  readonly write: LogOutput;
  /** Continues in a new file where another program has renamed the present one, as newsyslog and logrotate do. */
  readonly reopen: () => void;
}

/**
 * Appends log lines to a file of mode 0600. At `maxBytes` the file is renamed to FILE.1 and a new one begun, so that
 * the two never take more than twice that. A disk that is full or gone costs lines, never the daemon: `onTrouble` gets
 * the reason once, and null when a line could be written again.
 */
export function fileOutput(
  path: string,
  onTrouble: (message: string | null) => void,
  maxBytes = 5 * 1024 * 1024,
): LogFile {
  let fd: number | null = null;
  let size = 0;
  let troubled = false;

  const open = () => {
    checkRootMayWrite(path);
    makeDirectory(dirname(path));
    // A pipe without a reader would block the whole daemon; with O_NONBLOCK it is an error.
    fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, 0o600);
    size = fstatSync(fd).size;
  };
  const close = () => {
    if (fd !== null) closeSync(fd);
    fd = null;
  };
  const rotate = () => {
    close();
    renameSync(path, `${path}.1`);
    open();
  };
  const write: LogOutput = (line) => {
    try {
      if (fd === null) open();
      if (size >= maxBytes) rotate();
      size += writeSync(fd!, line);
      if (troubled) onTrouble(null);
      troubled = false;
    } catch (error) {
      if (troubled) return;
      troubled = true;
      onTrouble(`log file ${path} cannot be written: ${errorText(error)}`);
    }
  };
  return {
    write,
    reopen: () => {
      if (fd !== null && !isAt(path, fd)) close();
    },
  };
}

function isAt(path: string, fd: number): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const { dev, ino } = fstatSync(fd);
  return there !== undefined && there.dev === dev && there.ino === ino;
}
