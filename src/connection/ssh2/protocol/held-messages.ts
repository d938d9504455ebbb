import type { Client } from 'ssh2';
import { internalsOf, type Protocol } from './internals.ts';
import { forLater } from '../../../net/streams/lent-memory.ts';
import type { Valve } from '../../../net/streams/valve.ts';

/**
 * Makes a function that holds the server's messages back from ssh2 until `work` is done, then calls `proceed` and
 * passes them on: as if the work had taken no time, while the event loop goes on. Call it while ssh2 handles a message,
 * and return its result to ssh2, which then stops behind that message. After the end of the connection nothing is
 * called any more; `onError` gets a rejection of the work, or an exception of ssh2.
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
    // Holds the rest of what has been read; more is not read.
    protocol._parse = (chunk, from, to) => {
      held.push(forLater(chunk, from, to));
      return to;
    };
    valve.pause();
    work.then((result) => release(parse, held, () => proceed(result))).catch(onError);
    return false;
  };
}

type Hold = <Result>(work: Promise<Result>, proceed: (result: Result) => void) => false;
