import { ask, DaemonNotRunningError } from '../../control/client.ts';
import type { ErrorCode, Request, RequestOf, Results } from '../../control/protocol.ts';
import { errorText } from '../../lib/text.ts';
import { EXIT } from '../text/exit-code.ts';
import { controlSockets } from './control-sockets.ts';
import { report } from '../text/report.ts';

/** The answer of the daemon that has this tunnel (null for any), or the exit code after the reason was written to stderr. */
export async function request<C extends Request['command']>(
  config: string | null,
  message: RequestOf<C>,
  tunnel: string | null,
  onLine?: (line: string) => void,
): Promise<{ readonly result: Results[C] } | { readonly exit: number }> {
  try {
    const answer = await ask(await controlSockets(config, tunnel), message, onLine);
    if (answer.ok) return { result: answer.result };
    report(answer.message);
    return { exit: EXIT_OF[answer.code] };
  } catch (error) {
    report(errorText(error));
    return { exit: error instanceof DaemonNotRunningError ? EXIT.notRunning : EXIT.failed };
  }
}

const EXIT_OF: Readonly<Record<ErrorCode, number>> = {
  'bad-request': EXIT.failed,
  'no-such-tunnel': EXIT.noSuchTunnel,
  'config-invalid': EXIT.config,
  'not-now': EXIT.failed,
  internal: EXIT.failed,
};
