import type { SshKeyword } from '../../model/options.ts';
import { SSH_OPTIONS } from '../schema/keys.ts';

/** Whether an option takes something away: what is connected to, accepted, offered or let through (ssh_config(5)). */
export function restricts(key: string, args: readonly string[]): boolean {
  const rule = RESTRICTING.get(key);
  if (rule === undefined) return false;
  const word = args[0]?.toLowerCase() ?? '';
  if (rule.neutral !== undefined) return !rule.neutral.includes(word);
  return rule.restricts === 'no' ? NO.includes(word) : rule.restricts === 'yes' && YES.includes(word);
}

const NO = ['no', 'false'];
const YES = ['yes', 'true', 'ask'];

const RESTRICTING: ReadonlyMap<string, Pick<SshKeyword, 'restricts' | 'neutral'>> = new Map([
  ...SSH_OPTIONS.map(({ ssh }): [string, SshKeyword] => [ssh.name.toLowerCase(), ssh]),
  ['clearallforwardings', { name: 'ClearAllForwardings', restricts: 'yes' }],
  ['knownhostscommand', { name: 'KnownHostsCommand', neutral: ['none'] }],
  ['refuseconnection', { name: 'RefuseConnection', neutral: ['none'] }],
]);
