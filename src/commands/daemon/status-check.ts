import { ask } from '../../control/client.ts';
import { errorText, formatAge, printable } from '../../lib/text.ts';
import { isMeant } from '../../model/redundancy.ts';
import { isFine, type StatusDocument, type TunnelStatus } from '../../status/document.ts';
import { downSince } from '../text/status-summary.ts';
import { controlSockets } from '../find/control-sockets.ts';

/** Exit codes of a plugin (Monitoring Plugins Development Guidelines, 2.4). */
const PLUGIN_EXIT = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const;

/** One line for Nagios and its relatives, with performance data behind the bar. */
export async function checkStatus(config: string | null, name: string | null): Promise<number> {
  const { state, text } = await judge(config, name);
  process.stdout.write(`TUNNELD ${state}: ${text}\n`);
  return PLUGIN_EXIT[state];
}

interface PluginResult {
  readonly state: keyof typeof PLUGIN_EXIT;
  readonly text: string;
}

async function judge(config: string | null, name: string | null): Promise<PluginResult> {
  try {
    const answer = await ask(await controlSockets(config, name), { command: 'status' });
    return answer.ok ? pluginResult(answer.result, name) : { state: 'UNKNOWN', text: oneLine(answer.message) };
  } catch (error) {
    return { state: 'UNKNOWN', text: oneLine(errorText(error)) };
  }
}

/** Pure: what a plugin says of all tunnels, or of one. */
export function pluginResult(document: StatusDocument, name: string | null): PluginResult {
  const tunnels = document.tunnels.filter(({ name: one, servers }) => isMeant(one, name) && servers?.standby !== true);
  if (tunnels.length === 0) return { state: 'UNKNOWN', text: `there is no tunnel ${JSON.stringify(name)}` };
  const now = Date.parse(document.now ?? document.startedAt);
  const down = tunnels.filter((tunnel) => !isFine(tunnel));
  const degraded = tunnels.filter((tunnel) => isFine(tunnel) && (tunnel.health !== 'ok' || tunnel.phase !== 'up'));
  const invalid = name === null && document.configProblem !== undefined;
  const figures = `|up=${tunnels.length - down.length};;;0;${tunnels.length}`;
  if (down.length > 0) {
    const each = down.map((tunnel) => `${tunnel.name} down for ${formatAge(downSince(tunnel), now)}${causeOf(tunnel)}`);
    return { state: 'CRITICAL', text: `${down.length} of ${tunnels.length} down: ${each.join(', ')}${figures}` };
  }
  const notes = [
    ...degraded.map((tunnel) => `${tunnel.name} degraded`),
    ...(invalid ? ['the configuration file is not valid'] : []),
  ];
  if (notes.length > 0) return { state: 'WARNING', text: `${notes.join(', ')}${figures}` };
  return { state: 'OK', text: `${tunnels.length} of ${tunnels.length} up${figures}` };
}

function causeOf({ failure }: TunnelStatus): string {
  return failure === undefined ? '' : ` (${failure.code})`;
}

/** A bar would begin the performance data. */
function oneLine(text: string): string {
  return printable(text.replaceAll('|', '/').split('\n').join('; '), 500);
}
