import { isUtf8 } from 'node:buffer';
import { resolve } from 'node:path';
import { errorCode, errorText } from '../lib/text.ts';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from './input/environment.ts';
import { parseConfig } from './parse.ts';
import { ConfigError } from './input/problem.ts';
import { readWhole, withFile } from '../lib/files/open-file.ts';

/** Reads a configuration file. Rejects with a ConfigError with all its problems, also where it cannot be read. */
export async function loadConfig(file: string, env: ConfigEnvironment): Promise<Config> {
  const path = resolve(file);
  const bytes = await readBytes(path);
  if (!isUtf8(bytes))
    throw problem(path, firstBadLine(bytes), 'this line is not UTF-8 text: save the file in that encoding');
  return await parseConfig(new TextDecoder().decode(bytes), path, env);
}

/** Far above any real configuration; it bounds the memory where the file name is wrong. */
const MAX_BYTES = 1024 * 1024;

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await withFile(path, async (file) => {
      if (file.stats.isFIFO()) throw problem(path, 1, 'this is a pipe: write the configuration to a file');
      const bytes = await readWhole(file, MAX_BYTES);
      if (bytes === null) throw problem(path, 1, 'the file is larger than 1 MiB: check whether it is a configuration');
      return bytes;
    });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const why = REASONS[errorCode(error) ?? ''] ?? `the file cannot be read: ${errorText(error)}`;
    throw problem(path, 1, why, error);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file: create it (config.example.yaml is an example), or run `tunneld init`',
  ENOTDIR: 'no such file: a part of its path is a file, not a directory',
  EACCES: 'permission denied: run this with sudo (for the service, `sudo tunneld install` sets its permissions)',
  EISDIR: 'this is a directory: name a file',
};

function firstBadLine(bytes: Buffer): number {
  let line = 1;
  for (let start = 0; ; line += 1) {
    const end = bytes.indexOf('\n', start);
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) return line;
    start = end + 1;
  }
}

function problem(file: string, line: number, message: string, cause?: unknown): ConfigError {
  return new ConfigError([{ file, line, column: 1, message }], { cause });
}
