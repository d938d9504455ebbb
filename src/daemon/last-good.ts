import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from '../config/input/environment.ts';
import { parseConfig } from '../config/parse.ts';
import { printWhole } from '../config/print.ts';
import { newest } from '../lib/async/newest.ts';
import { writeDurably } from '../lib/files/write-durably.ts';
import { pathOwner } from '../lib/files/path-owner.ts';
import { readRegularFile } from '../lib/files/read-file.ts';
import { errorText } from '../lib/text.ts';
import { onlyChanges } from '../lib/only-changes.ts';
import { orElse } from '../lib/or-else.ts';

/**
 * The last good configuration of this file; null where there is none that is still valid. It is complete in itself: a broken ssh_config
 * does not break it.
 */
export async function readLastGood(directory: string, file: string, env: ConfigEnvironment): Promise<Config | null> {
  const path = pathIn(directory);
  const text = read(path);
  if (text === null || !text.startsWith(headOf(file)) || isForeign(path)) return null;
  const config = await parseConfig(text, path, env).catch(() => null);
  return config && { ...config, file };
}

/** Whether the last good configuration in this directory is not for root to run. */
export function isForeignLastGood(directory: string): boolean {
  return existsSync(pathIn(directory)) && isForeign(pathIn(directory));
}

/**
 * Root runs nothing (proxyCommand) that another user has written: a service's user could become root by it.
 */
function isForeign(path: string): boolean {
  return process.getuid?.() === 0 && pathOwner(path).uid !== 0;
}

export interface LastGoodKeeper {
  /** Writes it where it differs from what is there; `onFailed` is called where it could not be written. */
  keep(config: Config, onFailed: () => void): void;
  /** Resolves when all is on disk, or could not be written. Never rejects. */
  written(): Promise<void>;
}

/** A full or missing disk costs the last good configuration, never the daemon: `onTrouble` is called once, and with null when it is over. */
export function createLastGoodKeeper(
  env: ConfigEnvironment,
  onTrouble: (message: string | null) => void,
): LastGoodKeeper {
  const report = onlyChanges(onTrouble);
  const writes = newest<{ readonly config: Config; readonly onFailed: () => void }>(async ({ config, onFailed }) => {
    const path = pathIn(config.stateDirectory);
    const text = `${headOf(config.file)}${printWhole(config, env)}`;
    if (read(path) === text) return;
    try {
      await writeDurably(path, text);
      report(null);
    } catch (error) {
      report(`the last good configuration cannot be kept in ${path}: ${errorText(error)}`);
      onFailed();
    }
  });
  return { keep: (config, onFailed) => writes.put({ config, onFailed }), written: writes.idle };
}

function pathIn(directory: string): string {
  return join(directory, 'last-good.yaml');
}

/** Several configurations may share a state directory: each has its own. */
function headOf(file: string): string {
  return `# The last configuration that worked, written by tunneld, which runs it when its file is not valid.\n# file: ${JSON.stringify(file)}\n`;
}

function read(path: string): string | null {
  return orElse(() => readRegularFile(path, MAX_BYTES).toString('utf8'), null);
}

const MAX_BYTES = 1024 * 1024;
