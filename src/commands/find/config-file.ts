import { access } from 'node:fs/promises';
import { configCandidates } from '../../config/input/paths.ts';
import { type ConfigEnvironment, systemEnvironment } from '../../config/input/environment.ts';
import { succeeds } from '../../lib/async/succeeds.ts';

/** The configuration file to use: the named one, else the first usual one that exists, else the first usual one. */
export async function findConfig(
  flag: string | null,
  environment: ConfigEnvironment = systemEnvironment(),
): Promise<string> {
  const candidates = configCandidates(flag, environment);
  for (const candidate of candidates) {
    if (await succeeds(access(candidate))) return candidate;
  }
  return candidates[0]!;
}
