import { dirname, isAbsolute, join } from 'node:path';
import { printable } from '../../lib/text.ts';
import { BadValue } from '../values/value.ts';
import type { Reading } from './reading.ts';
import { expandTokens, tokensOf } from './tokens.ts';

/** What relative paths, `~`, variables and tokens of an Include refer to. */
export interface IncludeContext {
  /** The home directory in the user's own files; null in the system's file, which has no `~`. */
  readonly home: string | null;
  readonly systemFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The values of the %-tokens. */
  readonly tokens: Readonly<Record<string, string>>;
}

/** An Include that ssh skips with a warning. The message ends a sentence that begins with the keyword. */
export class SkippedInclude extends Error {}

/**
 * The files of one argument of Include (readconf.c, oInclude). Rejects with a SkippedInclude for a variable or token without a value,
 * and with a BadValue for what ssh rejects.
 */
export async function includedFiles(
  argument: string,
  context: IncludeContext,
  reading: Reading,
): Promise<readonly string[]> {
  const path = absolute(withVariables(withTokens(argument, context), context.env), context);
  return path.length > MAX_LENGTH ? [] : await reading.paths(path);
}

/** No system has longer paths. */
const MAX_LENGTH = 4096;

/** Tokens and variables exist since OpenSSH 10; before, they were literal. */
function withTokens(text: string, { tokens }: IncludeContext): string {
  try {
    return expandTokens(text, tokensOf('include'), tokens);
  } catch (error) {
    throw error instanceof BadValue ? new SkippedInclude(error.message) : error;
  }
}

function withVariables(text: string, env: IncludeContext['env']): string {
  return text.replaceAll(/\$\{([^}]*)\}/g, (_, name: string) => {
    const value = env[name];
    if (value === undefined) throw new SkippedInclude(`uses the variable ${printable(name, 40)}, which is not set`);
    return value;
  });
}

function absolute(path: string, { home, systemFile }: IncludeContext): string {
  if (path.startsWith('~')) {
    if (home === null) throw new BadValue('must not begin with ~ in the system-wide file');
    if (path !== '~' && !path.startsWith('~/'))
      throw new BadValue('must not begin with the home of another user: write the full path');
    return join(literal(home), path.slice(1));
  }
  if (isAbsolute(path)) return path;
  return join(literal(home === null ? dirname(systemFile) : join(home, '.ssh')), path);
}

/** A path that is not a pattern. */
function literal(path: string): string {
  return path.replaceAll(/[\\*?[]/g, '\\$&');
}
