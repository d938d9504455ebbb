import { isDeepStrictEqual } from 'node:util';
import { BadValue } from '../values/value.ts';
import { findKeyword } from './keywords.ts';
import type { SshOption } from './option.ts';

/** Collects the effective options, in the order in which ssh reads them. */
export class EffectiveOptions {
  #options: SshOption[] = [];
  readonly #locked = new Set<string>();

  /** Adds an option: of most keywords the first line counts, of some all lines, without duplicates. */
  add(option: SshOption): void {
    const { key, args } = option;
    if (args.length === 0 || this.#locked.has(key)) return;
    if (findKeyword(key)?.accumulates === true) this.#append(option);
    else if (!this.#options.some((earlier) => excludes(earlier, key))) this.#options.push(option);
  }

  /** Ignores later lines with this keyword, even where there was none before. */
  lock(key: string): void {
    this.#locked.add(key);
  }

  /** Sets the server's name, whatever HostName is. */
  rename(host: string): void {
    const { origin } = this.find('hostname') ?? { origin: { file: '', line: 0, column: 0 } };
    const others = this.#options.filter(({ key }) => key !== 'hostname');
    this.#options = [...others, { key: 'hostname', args: [host.replaceAll('%', '%%')], origin }];
  }

  list(): readonly SshOption[] {
    return this.#options;
  }

  find(key: string): SshOption | undefined {
    return this.#options.find((option) => option.key === key);
  }

  /** The only argument of a keyword, or null. */
  value(key: string): string | null {
    return this.find(key)?.args[0] ?? null;
  }

  #append(option: SshOption): void {
    const same = this.#options.filter(({ key }) => key === option.key);
    if (same.length >= MAX_FILES && FILES.includes(option.key))
      throw new BadValue(`is set for more than ${MAX_FILES} files: remove some`);
    if (!same.some(({ args }) => isDeepStrictEqual(args, option.args))) this.#options.push(option);
  }
}

/** SSH_MAX_IDENTITY_FILES and SSH_MAX_CERTIFICATE_FILES of ssh.h. */
const MAX_FILES = 100;
const FILES = ['identityfile', 'certificatefile'];

/**
 * Whether an earlier line makes a later one ineffective. ProxyJump and ProxyCommand exclude each other, because ssh implements the
 * former by the latter; only after `ProxyJump none` a ProxyCommand still counts.
 */
function excludes({ key, args }: SshOption, later: string): boolean {
  if (key === later) return true;
  if (key === 'proxycommand') return later === 'proxyjump';
  return key === 'proxyjump' && later === 'proxycommand' && args[0]?.toLowerCase() !== 'none';
}
