import type { AuditDocument, FindingReport, TunnelReport } from '../../audit/document.ts';
import { type Paint, painter } from '../../lib/paint.ts';

/** The audit for a person: the findings of each tunnel, then the lines that close what is open. */
export function formatAudit({ tunnels }: AuditDocument, colour: boolean): string {
  const paint = painter(colour);
  return `${[...tunnels.map((tunnel) => formatTunnel(tunnel, paint)), ...formatCures(tunnels)].join('\n\n')}\n`;
}

function formatTunnel(tunnel: TunnelReport, paint: Paint): string {
  const { name, server, serverVersion, failure, login, verdict, findings, notTried } = tunnel;
  const facts = [
    server,
    ...(serverVersion === undefined ? [] : [serverVersion]),
    ...(login === undefined || login.methods.length === 0 ? [] : [`logged in by ${login.methods.join(' and ')}`]),
  ];
  return [
    `${name}: ${facts.join(', ')}`,
    ...(failure === undefined
      ? []
      : [`  ${paint('failure', 31)}: ${failure.code}: ${failure.message}`, `  ${failure.hint}`]),
    ...findings.map((finding) => formatFinding(finding, paint)),
    ...notTriedLines(notTried),
    `  ${CONCLUSIONS[verdict]}`,
  ].join('\n');
}

const CONCLUSIONS: Readonly<Record<TunnelReport['verdict'], string>> = {
  open: 'conclusion: something is open',
  unknown: 'conclusion: not everything is known',
  'closed-as-tried': 'conclusion: nothing that was tried is open; what was not tried may be',
  closed: 'conclusion: closed, by what was tried and by the rules of the server',
};

/** Grouped by reason. */
function notTriedLines(notTried: TunnelReport['notTried']): readonly string[] {
  const reasons = [...new Set(notTried.map(({ reason }) => reason))];
  return reasons.flatMap((reason) => {
    const whats = notTried.filter((one) => one.reason === reason).map(({ what }) => what);
    return whats.length === 1
      ? [`  not tried: ${whats[0]}: ${reason}`]
      : [`  not tried (${reason}):`, ...whats.map((what) => `    ${what}`)];
  });
}

function formatFinding({ verdict, hole, meaning, detail }: FindingReport, paint: Paint): string {
  const columns = `${paint(verdict.padEnd(8), COLOURS[verdict])}${hole.padEnd(21)}${meaning}`;
  return `  ${columns}${detail === undefined || detail === 'refused' ? '' : ` (${detail})`}`;
}

const COLOURS: Readonly<Record<FindingReport['verdict'], number>> = { open: 31, closed: 32, unknown: 33 };

/** Each line once, however many tunnels share it. */
function formatCures(tunnels: readonly TunnelReport[]): readonly string[] {
  const leaky = tunnels.filter(({ findings }) => findings.some(({ verdict }) => verdict === 'open'));
  const blocks = leaky.flatMap(({ server, serverVersion = '', login, lines }) => [
    ...(serverVersion.startsWith('OpenSSH')
      ? []
      : [`${server} is not OpenSSH: translate what follows to its own configuration.`]),
    [
      `To close this, add on ${server} in front of the key${login?.key === undefined ? '' : ` ${login.key}`} in authorized_keys:`,
      '',
      lines.authorizedKeys,
    ].join('\n'),
    [
      `If only the tunnels log in as this user, add on ${server} at the end of sshd_config (then run \`sshd -t\`, and reload sshd):`,
      '',
      ...lines.sshdConfig,
    ].join('\n'),
  ]);
  return [...new Set(blocks)];
}
