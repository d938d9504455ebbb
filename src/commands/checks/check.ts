import { dirname, resolve } from 'node:path';
import { systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { ConfigError } from '../../config/input/problem.ts';
import { credentialProblems, loadsCredentials } from '../../install/systemd/credentials.ts';
import { exposedSecrets } from '../../connection/auth/exposed-secrets.ts';
import { shellQuote } from '../../lib/shell-quote.ts';
import { plural, printable } from '../../lib/text.ts';
import { findConfig } from '../find/config-file.ts';
import { report } from '../text/report.ts';

/** Throws a ConfigError with everything that is wrong; warnings go to standard error. */
export async function check(flag: string | null): Promise<void> {
  const config = await loadConfig(await findConfig(flag), systemEnvironment());
  if (config.conflicts.length > 0) throw new ConfigError(config.conflicts);
  await checkSurroundings(config.file);
  for (const warning of config.warnings) report(printable(warning));
  for (const { path, text } of await exposedSecrets(config.tunnels))
    report(printable(`${text}: chmod 600 ${shellQuote(path)}`));
  const names = config.tunnels.map((tunnel) => tunnel.name);
  process.stdout.write(`${config.file}: ${plural(names.length, 'tunnel')}: ${names.join(', ')}\n`);
}

/** What keeps the service from starting again is no less a problem than what is wrong in the file. */
async function checkSurroundings(file: string): Promise<void> {
  if (!(await loadsCredentials(file))) return;
  const problems = await credentialProblems(dirname(resolve(file)));
  if (problems.length > 0) throw new ConfigError(problems.map((message) => ({ file, line: 1, column: 1, message })));
}
