import type { SshKeyword } from '../../model/options.ts';
import { SSH_OPTIONS } from '../schema/keys.ts';
import { REFUSED } from './refused-options.ts';

/** Whether an option restricts what is connected to, accepted, offered or let through (ssh_config(5)). */
export function restricts(key: string, args: readonly string[]): boolean {
  if ((REFUSED.get(key)?.(args) ?? null) !== null) return true;
  const rule = RESTRICTING.get(key);
  if (rule === undefined) return false;
  const word = args[0]?.toLowerCase() ?? '';
  if (rule.neutral !== undefined) return !rule.neutral.includes(word);
  return rule.restricts !== undefined && WORDS[rule.restricts].includes(word);
}

const WORDS = { no: ['no', 'false'], none: ['none'], yes: ['yes', 'true', 'ask'] };

const RESTRICTING: ReadonlyMap<string, Pick<SshKeyword, 'restricts' | 'neutral'>> = new Map([
  ...SSH_OPTIONS.map(({ ssh }): [string, SshKeyword] => [ssh.name.toLowerCase(), ssh]),
  ['clearallforwardings', { name: 'ClearAllForwardings', restricts: 'yes' }],
]);
