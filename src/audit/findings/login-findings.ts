import type { AuthReport } from '../../connection/auth/auth-report.ts';
import { printable } from '../../lib/text.ts';
import type { Finding, LoginFacts } from './finding.ts';

/** What the login itself told; null is a login that did not come about. */
export function loginFindings(report: AuthReport | null): readonly Finding[] {
  if (report === null || (report.acceptsAlone === null && report.offers.length > 0)) {
    return HOLES.map((hole) => ({ hole, verdict: 'unknown', detail: 'the server did not say what it takes' }));
  }
  const offered = report.acceptsAlone ?? [];
  return [
    ...(['password', 'keyboard-interactive'] as const).map((hole): Finding =>
      offered.includes(hole)
        ? { hole, verdict: 'open', detail: `the server takes ${printable(offered.join(', '))}` }
        : { hole, verdict: 'closed', detail: 'not offered' },
    ),
    report.offers.length === 0
      ? { hole: 'no-credentials', verdict: 'open', detail: 'the server asked for nothing' }
      : { hole: 'no-credentials', verdict: 'closed', detail: 'refused' },
  ];
}

const HOLES = ['password', 'keyboard-interactive', 'no-credentials'] as const;

/** How the tunnel logs in: what was taken, in that order, the last of which was enough. */
export function loginFacts(report: AuthReport | null): LoginFacts {
  const taken = (report?.offers ?? []).filter(
    ({ result: outcome }) => outcome.type === 'partial' || outcome.type === 'pending',
  );
  return {
    methods: taken.map(({ method }) => method),
    fingerprint: taken.find(({ key }) => key !== null)?.key?.fingerprint ?? null,
    offered: report?.acceptsAlone?.map((method) => printable(method, 60)) ?? null,
  };
}
