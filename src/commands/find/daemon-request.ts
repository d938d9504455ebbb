import { access } from 'node:fs/promises';
import { ask, DaemonNotRunningError } from '../../control/client.ts';
import type { StatusDocument } from '../../status/document.ts';
import type { Answer, ErrorCode, Request, RequestOf, Results } from '../../control/protocol.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { UserError } from '../../lib/user-error.ts';
import { succeeds } from '../../lib/async/succeeds.ts';
import { findConfig } from './config-file.ts';
import { controlSockets } from './control-sockets.ts';

/** The answer of the daemon that has this tunnel (null for any). Throws a UserError where no daemon answers, or where it refuses. */
export async function request<C extends Request['command']>(
  config: string | null,
  message: RequestOf<C>,
  tunnel: string | null,
  onLine?: (line: string) => void,
): Promise<Results[C]> {
  return resultOf(await askDaemon(config, message, tunnel, onLine));
}

/** The status; for one tunnel with its open connections, which the daemon of an older version does not list. */
export async function requestStatus(config: string | null, tunnel: string | null): Promise<StatusDocument> {
  if (tunnel !== null) {
    const answer = await askDaemon(config, { command: 'status', connections: true }, tunnel);
    if (answer.ok || answer.code !== 'bad-request') return resultOf(answer);
  }
  return await request(config, { command: 'status' }, tunnel);
}

/** Where no daemon runs and there is no configuration, the message is about that. */
async function askDaemon<C extends Request['command']>(
  config: string | null,
  message: RequestOf<C>,
  tunnel: string | null,
  onLine?: (line: string) => void,
): Promise<Answer<Results[C]>> {
  try {
    return await ask(await controlSockets(config, tunnel), message, onLine);
  } catch (error) {
    if (!(error instanceof DaemonNotRunningError)) throw error;
    const file = await findConfig(config);
    if (await succeeds(access(file))) throw error;
    const isNamed = config !== null || Boolean(process.env['TUNNELD_CONFIG']);
    throw error.explained((where) =>
      isNamed
        ? `${file}: no such file, and no daemon runs (${where}): name another file, or run \`tunneld init\``
        : `the daemon is not running (${where}), and there is no configuration (${file}): \`sudo tunneld init\` makes a tunnel from nothing`,
    );
  }
}

/** The same, or why the daemon did not answer; one that ends meanwhile may break the connection. */
export async function orReason<T>(asked: Promise<T>): Promise<T | UserError> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof UserError) return error;
    if (error instanceof Error && 'syscall' in error) return new UserError(error.message);
    throw error;
  }
}

function resultOf<T>(answer: Answer<T>): T {
  if (answer.ok) return answer.result;
  throw new UserError(answer.message, EXIT_OF[answer.code]);
}

const EXIT_OF: Readonly<Record<ErrorCode, number>> = {
  'bad-request': EXIT.failed,
  'no-such-tunnel': EXIT.noSuchTunnel,
  'config-invalid': EXIT.config,
  'not-now': EXIT.failed,
  internal: EXIT.failed,
};
