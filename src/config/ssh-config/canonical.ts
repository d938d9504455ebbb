import { canonicalAddress, isAddress } from '../values/address.ts';
import type { EffectiveOptions } from './effective.ts';
import type { SshOption } from './option.ts';
import { lowerCase } from '../values/pattern.ts';

/** What becomes of a host's name before the files are read a second time. */
export interface CanonicalHost {
  readonly host: string;
  /** Whether canonicalization is on, which asks for the second reading. */
  readonly enabled: boolean;
  /** Why it cannot be found out here, and the option that this is about; or null. */
  readonly problem: Problem | null;
}

interface Problem {
  readonly option: SshOption;
  readonly message: string;
}

/**
 * Does what ssh does with the name of a host once (ssh.c, resolve_canonicalize), as far as no DNS is needed for it. User, port and
 * keys depend on what comes of it, and a device may have no network when they are read: what only the DNS of the moment decides is
 * a problem, never a guess.
 */
export function canonicalHost(name: string, effective: EffectiveOptions, proxied: boolean): CanonicalHost {
  const mode = effective.find('canonicalizehostname');
  const word = wordOf(mode) ?? 'no';
  const enabled = !NO.includes(word);
  if (isAddress(name)) return { host: canonicalAddress(name), enabled, problem: null };
  const host = lowerCase(name);
  if (mode === undefined || !enabled) return { host, enabled, problem: null };
  if (!KNOWN.includes(word)) {
    return { host, enabled, problem: { option: mode, message: 'CanonicalizeHostname must be yes, no or always' } };
  }
  const skipped = word !== 'always' && isProxied(effective, proxied);
  const found = skipped ? host : canonicalName(host, mode, effective);
  return typeof found === 'string' ? { host: found, enabled, problem: null } : { host, enabled, problem: found };
}

/** The whole name of a host, or why only the DNS could tell it. */
function canonicalName(host: string, mode: SshOption, effective: EffectiveOptions): string | Problem {
  const aliases = effective.find('canonicalizepermittedcnames');
  if (aliases !== undefined && wordOf(aliases) !== 'none') {
    const message = `CanonicalizePermittedCNAMEs lets the DNS choose the name of ${host}; ${CURE}`;
    return { option: aliases, message };
  }
  if (host.endsWith('.')) return host.slice(0, -1);
  const dots = host.split('.').length - 1;
  if (dots > Number(effective.value('canonicalizemaxdots') ?? 1)) return host;
  return nameInDomain(host, mode, effective);
}

function nameInDomain(host: string, mode: SshOption, effective: EffectiveOptions): string | Problem {
  const domains = (effective.find('canonicaldomains')?.args ?? []).filter((domain) => domain.toLowerCase() !== 'none');
  const fallback = effective.find('canonicalizefallbacklocal');
  const mayFall = !NO.includes(wordOf(fallback) ?? 'yes');
  const [only, ...others] = domains;
  if (only === undefined && mayFall) return host;
  if (only === undefined) {
    const message = `CanonicalizeFallbackLocal no leaves no name for ${host}: there are no CanonicalDomains`;
    return { option: fallback ?? mode, message };
  }
  if (others.length === 0 && !mayFall) return `${host}.${lowerCase(only)}`;
  const names = [...domains.map((domain) => `${host}.${domain}`), ...(mayFall ? [host] : [])].join(' or ');
  return { option: mode, message: `CanonicalizeHostname lets the DNS choose whether the server is ${names}; ${CURE}` };
}

function wordOf(option: SshOption | undefined): string | undefined {
  return option?.args[0]?.toLowerCase();
}

const NO = ['no', 'false'];
const KNOWN = ['yes', 'true', 'always'];

const CURE =
  'user, port and keys depend on that, and tunneld must know them without a network: give the host a HostName with its whole name and a dot at the end, or turn it off for the host (CanonicalizeHostname no)';

function isProxied(effective: EffectiveOptions, proxied: boolean): boolean {
  const routes = [effective.value('proxycommand'), effective.value('proxyjump')];
  return proxied || routes.some((way) => way !== null && way.toLowerCase() !== 'none');
}
