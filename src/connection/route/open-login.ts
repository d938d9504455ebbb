import type { Clock } from '../../lib/async/clock.ts';
import { createEmitter } from '../../lib/async/emitter.ts';
import { deadline } from '../../lib/async/deadline.ts';
import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import { STATIC_DEVICE } from '../../net/device.ts';
import { dial } from '../../net/dial.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { type Authenticated, type LoginDeps, prepareLogin } from './login.ts';
import { openRouteOnce } from './route-once.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { CommandOutput, Conversation } from '../ssh/connection.ts';
import type { Turns } from '../../net/pacing/turns.ts';

export interface OpenLoginDeps extends Pick<LoginDeps, 'clock' | 'log' | 'identities' | 'person'> {
  readonly turns: Turns;
}

/** A login of a command's own. */
export type OpenLogin = Awaited<ReturnType<typeof openLogin>>;

/** Runs a command to its end. Rejects with keepalive-lost where that takes longer than `ms`, and where the connection ends before. */
export function runThere(
  { connection, lost }: Pick<OpenLogin, 'connection' | 'lost'>,
  command: string,
  input: string | Conversation,
  { limit, ms, clock }: { readonly limit: number; readonly ms: number; readonly clock: Clock },
  signal: AbortSignal,
): Promise<CommandOutput> {
  const ran = connection.run(command, input, limit);
  return deadline(
    clock,
    ms,
    () => new TunnelFailure('keepalive-lost', `the server did not answer within ${ms / 1000} s`),
    (over) =>
      firstToEnd<CommandOutput>(
        over,
        [...lost, ran].map((promise) => waitFor<CommandOutput>(promise)),
      ),
    signal,
  );
}

/** Logs in as a tunnel does, on the same route, but from any port and without learning host keys. Rejects with a TunnelFailure. */
export async function openLogin(spec: TunnelSpec, deps: OpenLoginDeps, signal: AbortSignal) {
  const { clock, turns } = deps;
  const visitors = createEmitter<[port: number]>();
  const quiet = {
    ...spec,
    updateHostKeys: false,
    jumps: spec.jumps.map((jump) => ({ ...jump, updateHostKeys: false })),
  };
  const login = await prepareLogin(quiet, { ...deps, name: spec.name, asksFirst: true });
  const route = await openRouteOnce(quiet, { ...deps, device: { ...STATIC_DEVICE, turns } }, signal);
  try {
    const events = {
      onAuthenticating: () => {},
      onVisitor: ({ listen, reject }: { readonly listen: Endpoint; reject(): void }) => {
        reject();
        if (listen.type === 'tcp') visitors.emit(listen.port);
      },
    };
    const { connection, report } = await firstToEnd<Authenticated>(signal, [
      waitFor(route.lost),
      (own) => login(route, events, own),
    ]);
    route.turn?.accepted();
    return {
      connection,
      report,
      /** Each rejects when the connection, or something below it, has ended. */
      lost: [connection.lost, route.lost] as readonly Promise<never>[],
      /** Calls `listener` at each visitor of this port of the server, until the returned function is called. Visitors are rejected. */
      onVisitor: (port: number, listener: () => void) =>
        visitors.subscribe((at) => {
          if (at === port) listener();
        }),
      /** Dials another port of the same machine. */
      dialPort: (port: number, timeoutMs: number) => dial({ ...spec, port }, timeoutMs, { clock, turns }, signal),
      /** Closes it, in order where the server answers. */
      close: async (): Promise<void> => {
        await connection.close();
        await route.close();
        connection.destroy();
        await route.destroy();
      },
    };
  } catch (error) {
    route.turn?.notAccepted(asFailure(error));
    await route.destroy();
    throw error;
  }
}
