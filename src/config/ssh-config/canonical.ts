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
  readonly problem: { readonly option: SshOption; readonly message: string } | null;
}

/**
 * Does what ssh does with the name of a host once (ssh.c, resolve_canonicalize), as far as no DNS is needed for it. User, port and
 * keys depend on what comes of it, and a device may have no network when they are read: what only the DNS of the moment decides is
 * a problem, never a guess.
 */
export function canonicalHost(name: string, effective: EffectiveOptions, proxied: boolean): CanonicalHost {
  const mode = effective.find('canonicalizehostname');
  const word = mode?.args[0]?.toLowerCase() ?? 'no';
  const enabled = mode !== undefined && word !== 'no' && word !== 'false';
  const done = (host: string): CanonicalHost => ({ host, enabled, problem: null });
  if (isAddress(name)) return done(canonicalAddress(name));
  const host = lowerCase(name);
  if (!enabled) return done(host);
  const fail = (option: SshOption, message: string): CanonicalHost => ({ host, enabled, problem: { option, message } });
  if (!KNOWN.includes(word)) return fail(mode, `CanonicalizeHostname must be yes, no or always`);
  if (isProxied(effective, proxied) && word !== 'always') return done(host);
  const aliases = effective.find('canonicalizepermittedcnames');
  if (aliases !== undefined && aliases.args[0]?.toLowerCase() !== 'none')
    return fail(aliases, `CanonicalizePermittedCNAMEs lets the DNS choose the name of ${host}; ${CURE}`);
  if (host.endsWith('.')) return done(host.slice(0, -1));
  const dots = host.split('.').length - 1;
  if (dots > Number(effective.value('canonicalizemaxdots') ?? 1)) return done(host);
  const domains = (effective.find('canonicaldomains')?.args ?? []).filter((domain) => domain.toLowerCase() !== 'none');
  const fallback = effective.find('canonicalizefallbacklocal');
  const mayFall = !['no', 'false'].includes(fallback?.args[0]?.toLowerCase() ?? 'yes');
  const [only, ...others] = domains;
  if (only === undefined)
    return mayFall
      ? done(host)
      : fail(
          fallback ?? mode,
          `CanonicalizeFallbackLocal no leaves no name for ${host}: there are no CanonicalDomains`,
        );
  if (others.length === 0 && !mayFall) return done(`${host}.${lowerCase(only)}`);
  const names = [...domains.map((domain) => `${host}.${domain}`), ...(mayFall ? [host] : [])].join(' or ');
  return fail(mode, `CanonicalizeHostname lets the DNS choose whether the server is ${names}; ${CURE}`);
}

const KNOWN = ['yes', 'true', 'always'];

const CURE =
  'user, port and keys depend on that, and tunneld must know them without a network: give the host a HostName with its whole name and a dot at the end, or turn it off for the host (CanonicalizeHostname no)';

function isProxied(effective: EffectiveOptions, proxied: boolean): boolean {
  const ways = [effective.value('proxycommand'), effective.value('proxyjump')];
  return proxied || ways.some((way) => way !== null && way.toLowerCase() !== 'none');
}
