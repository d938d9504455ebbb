import type { Judgement } from './files/judge.ts';
import type { Finding, NotTried, TunnelAudit } from './findings/finding.ts';
import type { Hole } from './findings/hole.ts';

/** Merges what was tried with what was read in the files; what is `needed` is not a finding. */
export function mergeFindings(
  tried: readonly Finding[],
  judgement: Judgement | null,
  needed: ReadonlyMap<Hole, string>,
): readonly Finding[] {
  if (judgement === null) return tried;
  const sure = judgement.problems.length === 0;
  const read = new Map(
    judgement.findings.filter(({ hole }) => !needed.has(hole)).map((finding) => [finding.hole, finding]),
  );
  const merged = tried.map((finding) => mergeOne(finding, read.get(finding.hole), sure));
  const seen = new Set(tried.map(({ hole }) => hole));
  // What is not in the files is closed only where all of them were read.
  const more = [...read.values()].filter(({ hole, verdict }) => !seen.has(hole) && (sure || verdict === 'open'));
  return [...merged, ...more];
}

function mergeOne(tried: Finding, read: Finding | undefined, sure: boolean): Finding {
  if (read?.verdict === 'open') {
    const details = [read.detail, ...(tried.verdict === 'open' ? [tried.detail] : [])].filter((text) => text !== '');
    return { ...tried, verdict: 'open', detail: details.join('; ') };
  }
  return read !== undefined && sure && tried.verdict === 'unknown' ? { ...read, detail: 'by its rules' } : tried;
}

/** What only the files of the server show; empty where they were read. */
export function untried(judgement: Judgement | null, user: string): readonly NotTried[] {
  if (judgement?.problems.length === 0) return [];
  const reason =
    judgement === null
      ? 'only the files of the server show it: --via [me@]server reads them'
      : `not everything could be read: ${judgement.problems.join('; ')}`;
  return [
    'targets and ports besides the examples (permitopen, PermitOpen)',
    'listeners besides the examples (permitlisten, PermitListen)',
    'variables besides the examples (AcceptEnv, environment=, ~/.ssh/environment)',
    '~/.ssh/rc (PermitUserRC)',
    `other keys of user ${user}`,
    'the same key at other accounts of the server',
  ].map((what) => ({ what, reason }));
}

/** `closed-as-tried`: nothing was found open, and the rules of the server are not known. */
export type Overall = 'open' | 'unknown' | 'closed-as-tried' | 'closed';

/** The verdict on one tunnel altogether. */
export function overallOf({ failure, findings, sure, readFiles }: TunnelAudit): Overall {
  const verdicts = findings.map(({ verdict }) => verdict);
  if (verdicts.includes('open')) return 'open';
  // With --via examples are not enough.
  if (failure !== null || verdicts.includes('unknown') || (readFiles && !sure)) return 'unknown';
  return sure ? 'closed' : 'closed-as-tried';
}
