import { printable } from '../lib/text.ts';
import { accessOfAll } from '../server-rules/access.ts';
import { keyOptions, matchBlock, matchOptions } from '../server-rules/rules.ts';
import { sharesKey, sharesUser } from '../server-rules/same-login.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatServer } from '../model/state.ts';
import { curesOf } from './findings/cures.ts';
import type { TunnelAudit } from './findings/finding.ts';
import { meaningOf, type Hole, type Verdict } from './findings/hole.ts';
import { overallOf, type Overall } from './verdict.ts';

/** The document of `tunneld audit --json`; keys are only ever added. */
export interface AuditDocument {
  readonly version: string;
  readonly tunnels: readonly TunnelReport[];
}

export interface TunnelReport {
  readonly name: string;
  readonly server: string;
  readonly serverVersion?: string;
  /** Why nothing could be tried. */
  readonly failure?: { readonly code: string; readonly message: string; readonly hint: string };
  readonly login?: { readonly methods: readonly string[]; readonly key?: string; readonly offered?: readonly string[] };
  /** `closed-as-tried`: nothing that was tried is open, and something was not tried (notTried). */
  readonly verdict: Overall;
  readonly findings: readonly FindingReport[];
  readonly notTried: readonly { readonly what: string; readonly reason: string }[];
  /** All lines that belong on the server, for this key and for this user. */
  readonly lines: { readonly authorizedKeys: string; readonly sshdConfig: readonly string[] };
}

export interface FindingReport {
  readonly hole: Hole;
  readonly verdict: Verdict;
  readonly meaning: string;
  readonly detail?: string;
  /** Those of `lines` that close this hole; either list is enough where it is not empty. */
  readonly closedBy: { readonly authorizedKeys: readonly string[]; readonly sshdConfig: readonly string[] };
}

/** `tunnels` are all of the configuration: the lines must suit those that share a key or a user, too. */
export function auditDocument(
  version: string,
  audits: readonly TunnelAudit[],
  tunnels: readonly TunnelSpec[],
): AuditDocument {
  const reports = audits.flatMap((audit) => {
    const spec = tunnels.find(({ name }) => name === audit.name);
    return spec === undefined ? [] : [reportOf(audit, spec, audits, tunnels)];
  });
  return { version, tunnels: reports };
}

function reportOf(
  audit: TunnelAudit,
  spec: TunnelSpec,
  audits: readonly TunnelAudit[],
  tunnels: readonly TunnelSpec[],
): TunnelReport {
  const sameUser = tunnels.filter((other) => sharesUser(spec, other));
  const sameKey = sameUser.filter((other) => sharesKey(spec, other));
  const options = keyOptions(accessOfAll(sameKey));
  const methods = sameUser.map((other) => methodsOf(other, audits));
  const block = matchBlock(
    spec.user,
    matchOptions(
      accessOfAll(sameUser),
      methods.includes(null) ? [] : [...new Set(methods.filter((method) => method !== null))],
    ),
  );
  const { login, serverVersion, failure } = audit;
  return {
    name: audit.name,
    server: printable(formatServer(spec)),
    ...(serverVersion === null ? {} : { serverVersion }),
    ...(failure === null ? {} : { failure: { code: failure.code, message: failure.message, hint: failure.hint } }),
    ...(login === null
      ? {}
      : {
          login: {
            methods: login.methods,
            ...(login.fingerprint === null ? {} : { key: login.fingerprint }),
            ...(login.offered === null ? {} : { offered: login.offered }),
          },
        }),
    verdict: overallOf(audit),
    findings: audit.findings.map(({ hole, verdict, detail }) => ({
      hole,
      verdict,
      meaning: meaningOf(hole, verdict, printable(spec.user), audit.sure),
      ...(detail === '' ? {} : { detail }),
      closedBy: curesOf(hole, options, block),
    })),
    notTried: audit.notTried,
    lines: { authorizedKeys: options.join(','), sshdConfig: block },
  };
}

/** What is enough for this tunnel to log in, as a value of AuthenticationMethods; null where it is not known. */
function methodsOf({ name, passwordFile }: TunnelSpec, audits: readonly TunnelAudit[]): string | null {
  const seen = audits.find((audit) => audit.name === name)?.login?.methods ?? [];
  if (seen.length > 0) return seen.join(',');
  return passwordFile === null ? 'publickey' : null;
}
