import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { TestContext } from 'node:test';
import ssh2, { type AgentInboundRequest, type AgentProtocol } from '#ssh2';
import { deferred } from '../../../src/lib/async/abort.ts';

export interface FakeAgent {
  readonly socket: string;
  /** Resolves when somebody has asked for a signature, and when that somebody has hung up. */
  readonly asked: Promise<void>;
  readonly left: Promise<void>;
}

/** An agent that lists one key, and answers the request for a signature as it is told. */
export async function startFakeAgent(
  t: TestContext,
  socket: string,
  publicKeyFile: string,
  onSign: (protocol: AgentProtocol, request: AgentInboundRequest) => void,
): Promise<FakeAgent> {
  const key = ssh2.utils.parseKey(readFileSync(publicKeyFile));
  if (key instanceof Error) throw key;
  const asked = deferred<void>();
  const left = deferred<void>();
  const server = createServer((connection) => {
    const protocol = new ssh2.AgentProtocol(false);
    protocol.on('identities', (request: AgentInboundRequest) => {
      protocol.getIdentitiesReply(request, [key]);
    });
    protocol.on('sign', (request: AgentInboundRequest) => {
      connection.once('close', () => left.resolve());
      asked.resolve();
      onSign(protocol, request);
    });
    connection.on('error', () => {});
    connection.pipe(protocol).pipe(connection);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.after(() => server.close());
  return { socket, asked: asked.promise, left: left.promise };
}
