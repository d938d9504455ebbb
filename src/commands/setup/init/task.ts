import { systemClock } from '../../../lib/async/clock.ts';
import { unlessRefused } from '../../../lib/user-error.ts';
import type { NewTunnel } from '../../../setup/new-config.ts';
import { marksOf } from '../../../server-rules/server-setup.ts';
import { readLoginKeys } from '../../../setup/login-keys.ts';
import type { Questions } from '../../text/prompt.ts';
import type { Outcome } from './outcome.ts';
import type { Settings } from './set.ts';
import type { Comparison } from './compare.ts';
import type { WantedOptions } from './wanted.ts';

export interface InitOptions extends WantedOptions {
  readonly hostKeyFingerprint: string | null;
  /** Whether the script for the server allows the key to reach the port through the server too. */
  readonly jump: boolean;
  /** Whether the server gets a spare host key, which is pinned here. */
  readonly spareHostKey?: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
  /** What to take over instead of making a tunnel from nothing; null for that. */
  readonly from: string | null;
  readonly dryRun: boolean;
  /** Whether one JSON document is all that is printed on standard output. */
  readonly json: boolean;
}

/** What one run of init is about. */
export interface Task {
  readonly file: string;
  readonly configFlag: string;
  readonly asked: NewTunnel;
  readonly keyFrom: string | null;
  readonly isKeyGiven: boolean;
  readonly settings: Settings;
  readonly jump: boolean;
  readonly spare: boolean;
  readonly questions: Questions;
  readonly outcome: Outcome;
}

/**
 * What a line of this device on the server holds; none where there is no key yet. Of a new tunnel that is its key alone: other devices
 * may have certificates of the same authority for the same name.
 */
export async function marksIn({ existing, fresh }: Pick<Comparison, 'existing' | 'fresh'>): Promise<readonly string[]> {
  const { keys } = await unlessRefused(readLoginKeys(existing ?? fresh, systemClock), { keys: [] });
  return marksOf(existing === null ? keys.map((key) => ({ ...key, certificates: [] })) : keys);
}
