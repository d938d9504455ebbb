import { canonicalAddress, isAddress } from '../values/address.ts';
import type { EffectiveOptions } from './effective.ts';
import type { SshOption } from './option.ts';
import { lowerCase } from '../../lib/text.ts';

/** The canonical name of a host, before the files are read a second time. */
export interface CanonicalHost {
  readonly host: string;
  /** Whether canonicalization is on, which causes the second reading. */
  readonly enabled: boolean;
  /** Why the name is unknown without the DNS, and the option to blame; or null. */
  readonly problem: Problem | null;
}

interface Problem {
  readonly option: SshOption;
  readonly message: string;
}

/**
 * Canonicalizes the name of a host as ssh does (ssh.c, resolve_canonicalize), as far as no DNS is needed. User, port and keys depend
 * on the result, and a device may have no network when they are read: a name that depends on the DNS is a problem, never a guess.
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

/** The full name of a host, or the problem where it depends on the DNS. */
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
    const message = `CanonicalizeFallbackLocal no leaves no name for ${host}: add CanonicalDomains, or remove this line`;
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
  'user, port and keys depend on it, and tunneld must know them without a network: set HostName to the full name with a dot at the end, or turn it off for this host (CanonicalizeHostname no)';

function isProxied(effective: EffectiveOptions, proxied: boolean): boolean {
  const routes = [effective.value('proxycommand'), effective.value('proxyjump')];
  return proxied || routes.some((way) => way !== null && way.toLowerCase() !== 'none');
}
