import { dirname, isAbsolute, join } from 'node:path';
import { printable } from '../../lib/text.ts';
import { BadValue } from '../values/value.ts';
import type { Reading } from './reading.ts';
import { expandTokens, tokensOf } from './tokens.ts';

/** Where an Include stands: that decides what its relative paths and its `~` mean. */
export interface IncludeContext {
  /** The home directory where the user's own files are read, null in the system's file, which has no `~`. */
  readonly home: string | null;
  readonly systemFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The values of the %-tokens. */
  readonly tokens: Readonly<Record<string, string>>;
}

/** An Include that ssh skips with a warning. The message ends a sentence that begins with the keyword. */
export class SkippedInclude extends Error {}

/**
 * The files of one argument of Include (readconf.c, oInclude), none if none exist. Throws a SkippedInclude for a variable
 * or token that has no value and a BadValue for what ssh refuses.
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

/** Tokens and variables are of OpenSSH 10; before, a file would have had to be called like that. */
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
    if (value === undefined) throw new SkippedInclude(`names the variable ${printable(name, 40)}, which is not set`);
    return value;
  });
}

function absolute(path: string, { home, systemFile }: IncludeContext): string {
  if (path.startsWith('~')) {
    if (home === null) throw new BadValue('must not begin with ~ in a file of the system');
    if (path !== '~' && !path.startsWith('~/'))
      throw new BadValue('must not begin with the home of another user: write the whole path');
    return join(literal(home), path.slice(1));
  }
  if (isAbsolute(path)) return path;
  return join(literal(home === null ? dirname(systemFile) : join(home, '.ssh')), path);
}

/** What the user did not write is no pattern. */
function literal(path: string): string {
  return path.replaceAll(/[\\*?[]/g, '\\$&');
}
