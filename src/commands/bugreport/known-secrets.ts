import { homedir } from 'node:os';
import { readText } from '../../lib/files/read-file.ts';
import { registerSecret } from '../../lib/secrets.ts';
import type { Config } from '../../model/config.ts';
import { PROGRAM } from './redact.ts';
import { secretFiles } from '../../connection/auth/exposed-secrets.ts';

/**
 * Has the secrets masked that a configuration file leads to, as far as this user may read them, wherever they were repeated. `text` is the
 * file as it is, `config` null where that is not valid.
 */
export async function registerSecretsOf(text: string, config: Config | null): Promise<void> {
  const written = [...text.matchAll(/\b(?:password|passphrase|proxyPassword|token)File:\s*["']?([^\s"',}]+)/g)];
  const paths = written.map(([, path = '']) => path.replace(/^~(?=\/)/, homedir()));
  const named = config === null ? [] : [...secretFiles(config.tunnels, () => []), config.metrics.tokenFile];
  for (const path of new Set([...paths, ...named])) {
    if (path === null) continue;
    const secret = await readText(path).catch(() => '');
    const lines = secret.split('\n', MOST_LINES);
    for (const line of lines) if (line.trim() !== '') registerSecret(line.trim());
  }
  for (const [url] of text.matchAll(/\bhttps?:\/\/[^\s"']+/g)) registerUrl(url);
  if (config !== null) registerWords(config);
}

/** What has more is no password; its lines must not take the place of those that are. */
const MOST_LINES = 10;

/** Arguments of programs, which may be secret, and variables that are set before one, unless they name a server or a user. */
function registerWords({ tunnels, heartbeat, onChange }: Config): void {
  if (heartbeat.url !== null) registerUrl(heartbeat.url);
  const names = tunnels.flatMap((tunnel) => [tunnel, ...tunnel.jumps].flatMap(({ host, user }) => [host, user]));
  const isKnown = (text: string) => text.split(/[@:,[\]]/).every((part) => part.length < LONG || names.includes(part));
  const commands = tunnels.map(({ entry }) => (entry.type === 'command' ? entry.command.split(/\s+/) : []));
  for (const [program = '', ...args] of [...commands, onChange.command ?? []]) {
    const words = PROGRAM.test(program) ? args : [program, ...args];
    const parts = words.flatMap((word) => [word, ...word.split('=').slice(1)]);
    for (const part of parts.map((text) => text.replaceAll(/^["']|["']$/g, '')))
      if (part.length >= LONG && !isKnown(part)) registerSecret(part);
  }
}

/** What is behind the host, as a whole and in its parts. */
function registerUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null) return;
  registerSecret(text);
  const parts = [url.password, ...url.pathname.split('/'), ...url.searchParams.values()];
  for (const part of parts) if (part.length >= LONG) registerSecret(part);
}

/** A shorter part of an address is a word rather than a secret. */
const LONG = 8;
