import { hostname } from 'node:os';
import type { ConfigEnvironment } from '../input/environment.ts';
import { BadValue } from '../values/value.ts';
import type { EffectiveOptions } from './effective.ts';
import type { MatchSubject } from './match.ts';
import type { Reading } from './reading.ts';
import { type Report, Stop } from './report.ts';
import { expandTokens, tokensOf, tokenValues } from './tokens.ts';

/** One pass over all files. In the final one, the name after HostName is the host. */
export interface Pass {
  readonly originalHost: string;
  readonly finalHost: string | null;
  readonly env: ConfigEnvironment;
  readonly effective: EffectiveOptions;
  readonly report: Report;
  readonly reading: Reading;
  /** Called for a `Match final`, which asks for a second pass. */
  readonly onFinal: () => void;
}

/** The values to match blocks with, at this point of the files. */
export function subjectOf(pass: Pass): MatchSubject {
  const { originalHost, finalHost, effective, env } = pass;
  return {
    name: finalHost ?? originalHost,
    host: finalHost ?? hostSoFar(pass),
    originalHost,
    user: effective.value('user') ?? env.userName,
    localUser: env.userName,
    tag: effective.value('tag') ?? '',
    final: finalHost !== null,
  };
}

/** The server's name after the HostName found so far. An unknown token in HostName ends the reading, as in ssh. */
export function hostSoFar({ originalHost, effective, report }: Pass): string {
  const option = effective.find('hostname');
  if (option === undefined) return originalHost;
  try {
    return expandTokens(option.args[0] ?? '', tokensOf('hostname'), { h: originalHost });
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    report.problem(option.origin, `HostName ${error.message}`);
    throw new Stop();
  }
}

/** The tokens of an Include at this point of the files. */
export function tokensSoFar(pass: Pass): Readonly<Record<string, string>> {
  const { host, originalHost, user } = subjectOf(pass);
  const { effective, env } = pass;
  const jump = effective.value('proxyjump') ?? '';
  return tokenValues({
    host,
    originalHost,
    user,
    port: Number(effective.value('port') ?? 22),
    hostKeyAlias: effective.value('hostkeyalias'),
    jump: jump.toLowerCase() === 'none' ? '' : jump,
    localHost: hostname(),
    env,
  });
}
