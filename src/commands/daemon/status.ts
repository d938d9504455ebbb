import { tunnelOfSocket } from '../../config/command-line/paths.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { acceptsConnections } from '../../control/client.ts';
import { EXIT } from '../../lib/exit-code.ts';
import type { StatusDocument } from '../../status/document.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { formatLogLine } from '../../lib/log/format.ts';
import { UserError } from '../../lib/user-error.ts';
import { request, requestStatus } from '../find/daemon-request.ts';
import { noSuchTunnel } from '../text/no-such-tunnel.ts';
import { adHocSockets } from '../find/control-sockets.ts';
import { formatStatus } from '../text/status-text.ts';
import { printError, report } from '../text/report.ts';
import { wantsColour } from '../text/color.ts';

export interface StatusOptions {
  readonly json: boolean;
  readonly watch: boolean;
}

/** Shows all tunnels or one; the exit code is 1 where one of those shown is not up. */
export async function status(config: string | null, name: string | null, options: StatusOptions): Promise<number> {
  for (;;) {
    const answer = await requestStatus(config, name);
    const document = choose(answer, name);
    if (document.tunnels.length === 0) throw noSuchTunnel(name, answer.tunnels);
    const text = options.json
      ? `${JSON.stringify(document, null, options.watch ? 0 : 2)}\n`
      : formatStatus(document, wantsColour()) + (await recentLog(config, name));
    if (!options.watch && name === null && config === null) await mentionOthers(document);
    process.stdout.write(options.watch && !options.json && process.stdout.isTTY ? `${CLEAR_SCREEN}${text}` : text);
    if (!options.watch) return document.tunnels.every((tunnel) => tunnel.phase === 'up') ? EXIT.ok : EXIT.failed;
    await sleep(systemClock, WATCH_MS);
  }
}

/** The same after an installation, which has worked whatever the state of the tunnels is. */
export async function showStatus(config: string): Promise<void> {
  await status(config, null, { json: false, watch: false }).catch(printUserError);
}

/** Other daemons run on command lines, with one tunnel each, whose name finds them. */
async function mentionOthers(shown: StatusDocument): Promise<void> {
  const paths = await adHocSockets(systemEnvironment());
  for (const path of paths) {
    const name = tunnelOfSocket(path) ?? '';
    if (shown.tunnels.some((tunnel) => tunnel.name === name) || !(await acceptsConnections(path))) continue;
    report(`another daemon runs here: tunneld status ${name}`);
  }
}

const WATCH_MS = 1000;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';
const LOG_LINES = 5;

function choose(document: StatusDocument, name: string | null): StatusDocument {
  return { ...document, tunnels: document.tunnels.filter((tunnel) => name === null || tunnel.name === name) };
}

/** A daemon that ends meanwhile does not take the status away. */
async function recentLog(config: string | null, name: string | null): Promise<string> {
  const colour = wantsColour();
  const lines: string[] = [];
  await request(config, { command: 'logs', name, lines: LOG_LINES, follow: false }, name, (line) =>
    lines.push(formatLogLine(line, colour)),
  ).catch(printUserError);
  return lines.length === 0 ? '' : `\n${lines.join('\n')}\n`;
}

function printUserError(error: unknown): void {
  if (!(error instanceof UserError)) throw error;
  printError(error);
}
