import { tunnelOfSocket } from '../config/command-line/paths.ts';
import { systemEnvironment } from '../config/input/environment.ts';
import { acceptsConnections } from '../control/client.ts';
import type { StatusDocument } from '../status/document.ts';
import { formatLogLine } from '../lib/log/format.ts';
import { request } from './find/daemon-request.ts';
import { EXIT } from './text/exit-code.ts';
import { noSuchTunnel } from './text/no-such-tunnel.ts';
import { adHocSockets } from './find/control-sockets.ts';
import { formatStatus } from './text/status-text.ts';
import { report } from './text/report.ts';
import { wantsColour } from './text/color.ts';

interface StatusOptions {
  readonly json: boolean;
  readonly watch: boolean;
}

/** Shows all tunnels or one; exit code 1 says that one of those shown is not up. */
export async function status(config: string | null, name: string | null, options: StatusOptions): Promise<number> {
  for (;;) {
    const answer = await request(config, { command: 'status' }, name);
    if ('exit' in answer) return answer.exit;
    const document = choose(answer.result, name);
    if (document.tunnels.length === 0) return noSuchTunnel(name, answer.result.tunnels);
    const text = options.json
      ? `${JSON.stringify(document, null, options.watch ? 0 : 2)}\n`
      : formatStatus(document, wantsColour()) + (await recentLog(config, name));
    if (!options.watch && name === null && config === null) await mentionOthers(document);
    process.stdout.write(options.watch && !options.json && process.stdout.isTTY ? `${CLEAR_SCREEN}${text}` : text);
    if (!options.watch) return document.tunnels.every((tunnel) => tunnel.phase === 'up') ? EXIT.ok : EXIT.failed;
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  }
}

/** Other daemons run on command lines, each with one tunnel: they are asked for by its name. */
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

async function recentLog(config: string | null, name: string | null): Promise<string> {
  const colour = wantsColour();
  const lines: string[] = [];
  await request(config, { command: 'logs', name, lines: LOG_LINES, follow: false }, name, (line) =>
    lines.push(formatLogLine(line, colour)),
  );
  return lines.length === 0 ? '' : `\n${lines.join('\n')}\n`;
}
