import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod/mini';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { readJsonFile } from '../lib/files/read-json-file.ts';
import { onlyChanges } from '../lib/only-changes.ts';
import { errorText } from '../lib/text.ts';
import { bootId } from './boot.ts';
import { orElse } from '../lib/or-else.ts';

const name = z.nullable(z.string().check(z.maxLength(200)));
const schema = z.object({ boot: z.string(), last: name, suspect: name, times: z.int().check(z.minimum(0)) });

type Content = Omit<z.infer<typeof schema>, 'boot'>;

/**
 * Opens a small file with the name of the tunnel that connected last. It is written when a tunnel connects, and not
 * flushed: it is to outlive the process, not the machine, whose loss of power says nothing about a tunnel (`boot`
 * identifies the boot). A file that is damaged or cannot be written costs this memory, never the start: `onTrouble`
 * gets the reason, and null when a write succeeds again.
 */
export function openLastConnectedFile(
  path: string,
  onTrouble: (message: string | null) => void,
): { recall(): Content; keep(next: Content): void } {
  const boot = bootId();
  const report = onlyChanges(onTrouble);
  return {
    recall: () => {
      const { boot: thatBoot, ...content } = read(path);
      return thatBoot === boot ? content : { ...content, last: null };
    },
    keep: (next) => {
      try {
        checkRootMayWrite(path);
        makeDirectory(dirname(path));
        const temporary = `${path}.new`;
        rmSync(temporary, { force: true });
        // Follows no link, and is not flushed: see above.
        writeFileSync(temporary, `${JSON.stringify({ boot, ...next })}\n`, { mode: 0o600, flag: 'wx' });
        renameSync(temporary, path);
        report(null);
      } catch (error) {
        report(`${path} cannot be written, so the tunnel that connected last is not remembered: ${errorText(error)}`);
      }
    },
  };
}

function read(path: string): z.infer<typeof schema> {
  return orElse(() => schema.parse(readJsonFile(path, MAX_BYTES)), { boot: '', last: null, suspect: null, times: 0 });
}

const MAX_BYTES = 64 * 1024;
