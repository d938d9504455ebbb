import { tunnelOfSocket } from '../../config/command-line/paths.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { connectError } from '../../lib/unix-socket.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { isFine, type StatusDocument } from '../../status/document.ts';
import { UserError } from '../../lib/user-error.ts';
import { adHocSockets } from '../find/control-sockets.ts';
import { formatInDetail, formatStatus, PLAIN, type View } from '../text/status-text.ts';
import { printError, report } from '../text/report.ts';
import { terminalSize } from '../text/screen.ts';
import { wantsColour } from '../text/color.ts';
import { lookAtDaemon } from './status-look.ts';
import { watchStatus } from './status-watch.ts';

export interface StatusOptions {
  readonly json: boolean;
  readonly watch: boolean;
}

/** Shows all tunnels or one; the exit code is 1 where one of those shown is not up, at one of its servers at least. */
export async function status(config: string | null, name: string | null, options: StatusOptions): Promise<number> {
  if (options.watch) return await watchStatus(config, name, options.json);
  const colour = wantsColour();
  const { document, log } = await lookAtDaemon(config, name, { colour: colour && name !== null, log: !options.json });
  if (name === null && config === null) await mentionOthers(document);
  const view = { ...PLAIN, colour };
  const text = options.json
    ? JSON.stringify(document, null, 2)
    : (name === null
        ? formatStatus(document, overviewOf(view), { notes: [], log })
        : formatInDetail(document, view, { notes: [], log })
      ).join('\n');
  process.stdout.write(`${text}\n`);
  return document.tunnels.every(isFine) ? EXIT.ok : EXIT.failed;
}

/** The same after an installation, which has worked whatever the state of the tunnels is. */
export async function showStatus(config: string): Promise<void> {
  await status(config, null, { json: false, watch: false }).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    printError(error);
  });
}

/** As wide and as high as the terminal, with a line for the prompt: worst first, what matters would scroll away. */
function overviewOf(view: View): View {
  if (!process.stdout.isTTY) return view;
  const { width, height } = terminalSize(process.stdout);
  return { ...view, width, height: height - 1 };
}

/** Other daemons run on command lines, with one tunnel each, whose name finds them. */
async function mentionOthers(shown: StatusDocument): Promise<void> {
  for (const path of await adHocSockets(systemEnvironment())) {
    const name = tunnelOfSocket(path) ?? '';
    if (shown.tunnels.some((tunnel) => tunnel.name === name) || (await connectError(path)) !== null) continue;
    report(`another daemon runs here: tunneld status ${name}`);
  }
}
