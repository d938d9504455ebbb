import { resolve } from 'node:path';
import { systemClock } from '../../lib/async/clock.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { createFile } from '../../lib/files/create-file.ts';
import { localTime } from '../../lib/local-time.ts';
import { errorCode, errorText, escapeLines } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { VERSION } from '../../lib/version.ts';
import { report } from '../text/report.ts';
import { redactText } from './redact.ts';
import { sectionsOf } from './sections.ts';

/**
 * Writes one file for an issue or a colleague: versions, configuration, checks, status, history, log and service. It asks nothing, works
 * with whatever is broken, and says what could not be read. `output` is a new file, `-` for standard output, null for a name with the time.
 */
export async function bugreport(
  config: string | null,
  { output }: { readonly output: string | null },
): Promise<number> {
  const now = new Date(systemClock.wall());
  const parts: string[] = [];
  for (const { title, read } of await sectionsOf(config)) parts.push(await section(title, read));
  const text = `${headOf(now)}\n${parts.map((part) => redactText(part)).join('\n')}\n(end of the report)\n`;
  if (output === '-') {
    process.stdout.write(text);
    return EXIT.ok;
  }
  const file = output ?? `tunneld-bugreport-${stampOf(now)}.txt`;
  try {
    await createFile(resolve(file), text, 0o600);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') throw new UserError(`${file} exists already: name another one with --output`);
    throw new UserError(
      `${file} cannot be written: ${errorText(error)}; name another one with --output, or - to print it`,
    );
  }
  report('passwords, keys and the like are left out; names of hosts and users are not: read it before you publish it');
  if (process.getuid?.() !== 0) report('sudo tunneld bugreport has also what only root may read');
  process.stdout.write(`${file}\n`);
  return EXIT.ok;
}

function headOf(now: Date): string {
  return [
    `Report of tunneld ${VERSION}, ${now.toISOString()}`,
    'Passwords, keys, tokens, addresses of monitors, arguments of programs and values of variables are left out (***).',
    'Names of hosts, users and files, and addresses are in it: read it before you publish it.',
    '',
  ].join('\n');
}

/** What cannot be read is a finding, too. */
async function section(title: string, read: () => Promise<string>): Promise<string> {
  const text = await read().catch((error: unknown) => `not available: ${errorText(error)}`);
  return `== ${title}\n${escapeLines(text.trimEnd())}\n`;
}

/** `20261127-140305`, in the local time zone. */
function stampOf(time: Date): string {
  const { day, clock } = localTime(time.getTime());
  return `${day.replaceAll('-', '')}-${clock.replaceAll(':', '')}`;
}
