import { shellWord } from '../../lib/shell-quote.ts';
import { isUtf8 } from 'node:buffer';
import type { Stats } from 'node:fs';
import { UserError } from '../../lib/user-error.ts';
import { errorCode, printable } from '../../lib/text.ts';
import { readWhole, withFile } from '../../lib/files/open-file.ts';

/** A file that cannot be used. The message is a complete sentence. */
export class BadFile extends Error {
  /** The code of the system's error, such as ENOENT. */
  readonly code: string;
  readonly line: number;

  constructor(message: string, code: string, line = 1) {
    super(message);
    this.code = code;
    this.line = line;
  }
}

/**
 * The lines of a configuration file. With `owner`, the file must belong to that user or to root, and must not be writable by others
 * (readconf.c, SSHCONF_CHECKPERM). Rejects with a BadFile.
 */
export async function readLines(path: string, owner: number | null): Promise<string[]> {
  const bytes = await readBytes(path, owner);
  if (bytes.includes(0))
    throw new BadFile('the file is not text: check whether it is a configuration', 'BINARY', lineOf(bytes, 0));
  const lines = bytes.toString('utf8').split('\n');
  if (isUtf8(bytes)) return lines;
  // ssh takes bytes as they are. In comments the encoding does not matter.
  const bad = lines.findIndex((line) => line.includes('\ufffd') && !/^[ \t]*#/.test(line));
  if (bad === -1) return lines;
  throw new BadFile('this line is not UTF-8 text: save the file in that encoding', 'BINARY', bad + 1);
}

/** Far above any real configuration; it bounds the memory where the file name is wrong. */
const MAX_BYTES = 1024 * 1024;

async function readBytes(path: string, owner: number | null): Promise<Buffer> {
  try {
    return await withFile(path, async (file) => {
      const { stats } = file;
      if (stats.isFIFO() || stats.isSocket()) throw new BadFile('this is a pipe: name a file', 'PIPE');
      if (owner !== null) checkOwner(path, stats, owner);
      const bytes = await readWhole(file, MAX_BYTES);
      if (bytes === null)
        throw new BadFile('the file is larger than 1 MiB: check whether it is a configuration', 'TOO_LARGE');
      return bytes;
    });
  } catch (error) {
    if (error instanceof BadFile) throw error;
    const code = errorCode(error) ?? '';
    if (error instanceof UserError) throw new BadFile(error.message, 'LINK');
    throw new BadFile(REASONS[code] ?? 'the file cannot be read', code);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file: a part of its path is a file, not a directory',
  EACCES: 'permission denied',
  EISDIR: 'this is a directory: name the files in it',
  ELOOP: 'the file is a symbolic link to itself',
};

function checkOwner(path: string, { uid, mode }: Stats, owner: number): void {
  if (uid !== 0 && uid !== owner)
    throw new BadFile(
      `Bad owner or permissions: another user owns the file; sudo chown ${path.startsWith('/etc/') ? 'root' : '"$USER"'} ${nameOf(path)}`,
      'OWNER',
    );
  if ((mode & 0o022) !== 0)
    throw new BadFile(`Bad owner or permissions: others may write to the file; chmod go-w ${nameOf(path)}`, 'MODE');
}

/** Quoted for a shell. */
function nameOf(path: string): string {
  return shellWord(printable(path));
}

function lineOf(bytes: Buffer, byte: number): number {
  return bytes.subarray(0, bytes.indexOf(byte)).filter((each) => each === 0x0a).length + 1;
}
