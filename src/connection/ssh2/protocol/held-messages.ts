import type { Client } from 'ssh2';
import { internalsOf, type Protocol } from './internals.ts';
import type { Valve } from '../../../net/valve.ts';

/**
 * A function that keeps from ssh2 what comes from the server until `work` is done, and then calls `proceed` and hands it over: as if
 * the work had taken no time, but the event loop goes on. To be called while ssh2 handles a message, and its answer returned to ssh2,
 * which then stops behind that message. Nothing is called any more where the connection has ended meanwhile; `onError` learns what
 * the work rejects with, or ssh2 throws.
 */
export function holdMessages(client: Client, valve: Valve, onError: (error: Error) => void): Hold {
  const { _protocol: protocol } = internalsOf(client);
  const release = (parse: Protocol['_parse'], held: readonly Buffer[], proceed: () => void) => {
    if (valve.destroyed) return;
    protocol._parse = parse;
    proceed();
    for (const chunk of held) protocol.parse(chunk, 0, chunk.length);
    valve.resume();
  };
  return (work, proceed) => {
    const { _parse: parse } = protocol;
    const held: Buffer[] = [];
    // The rest of what has been read; more is not read.
    protocol._parse = (chunk, from, to) => {
      held.push(chunk.subarray(from, to));
      return to;
    };
    valve.pause();
    work.then((result) => release(parse, held, () => proceed(result))).catch(onError);
    return false;
  };
}

type Hold = <Result>(work: Promise<Result>, proceed: (result: Result) => void) => false;
