import { asFailure } from '../../model/failure.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { SshConnection } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';

/** Has the server connect, and closes at once: `no` is a server that tried and could not. */
export async function connects(connection: SshConnection, to: Endpoint): Promise<'yes' | 'no' | 'forbidden'> {
  try {
    const channel = await connection.open(to, { address: '127.0.0.1', port: 0 });
    discard(channel);
    return 'yes';
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code === 'target-unreachable') return 'no';
    if (failure.code === 'forward-refused') return 'forbidden';
    throw failure;
  }
}

/** Runs `work` while the server listens there; null where it does not listen. */
export async function whileListening<T>(
  connection: SshConnection,
  at: Endpoint,
  work: () => Promise<T>,
): Promise<T | null> {
  try {
    await connection.listen(at);
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code !== 'forward-refused') throw failure;
    return null;
  }
  try {
    return await work();
  } finally {
    await connection.unlisten(at);
  }
}
