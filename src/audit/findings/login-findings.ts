import { acceptedOffers, type AuthReport } from '../../connection/auth/auth-report.ts';
import { printable } from '../../lib/text.ts';
import type { Finding, LoginFacts } from './finding.ts';

/** What the login itself showed; null is a login that failed. */
export function loginFindings(report: AuthReport | null): readonly Finding[] {
  if (report === null || (report.acceptsAlone === null && report.offers.length > 0)) {
    return LOGIN_HOLES.map((hole) => ({
      hole,
      verdict: 'unknown',
      detail: 'the server did not name the methods that it accepts',
    }));
  }
  const offered = report.acceptsAlone ?? [];
  return [
    ...(['password', 'keyboard-interactive'] as const).map((hole): Finding =>
      offered.includes(hole)
        ? { hole, verdict: 'open', detail: `the server accepts ${printable(offered.join(', '))}` }
        : { hole, verdict: 'closed', detail: 'not offered' },
    ),
    report.offers.length === 0
      ? { hole: 'no-credentials', verdict: 'open', detail: 'the server asked for nothing' }
      : { hole: 'no-credentials', verdict: 'closed', detail: 'refused' },
  ];
}

const LOGIN_HOLES = ['password', 'keyboard-interactive', 'no-credentials'] as const;

/** How the tunnel logs in: the methods that were accepted, in their order. */
export function loginFacts(report: AuthReport | null): LoginFacts {
  const taken = report === null ? [] : acceptedOffers(report);
  return {
    methods: taken.map(({ method }) => method),
    fingerprint: taken.find(({ key }) => key !== null)?.key?.fingerprint ?? null,
    offered: report?.acceptsAlone?.map((method) => printable(method, 60)) ?? null,
  };
}
