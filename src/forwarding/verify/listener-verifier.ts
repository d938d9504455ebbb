import { abortable, childController, deferred } from '../../lib/async/abort.ts';
import { type IdentifyDeps, identifyListener } from './identify-listener.ts';
import { examine, type Test } from './claim-probe.ts';
import { asFailure } from '../../model/failure.ts';
import { comesFrom, isLoopback, placesOf } from './places.ts';
import { type VerifyResult, resultOf, type SeenPlace, type Sight } from './sights.ts';
import { type Endpoint, formatEndpoint } from '../../model/spec.ts';
import type { Channel, Visitor } from '../../connection/ssh/connection.ts';
import { discard, type VerifiedConnection, nobodyCame, NOT_OPENSSH, visitPlace, withoutAnswer } from './visit-place.ts';

/**
 * Looks at listeners from the server's side, by connections that the server opens to them for us. sshd says that it listens on
 * `localhost` when it could bind one of 127.0.0.1 and ::1, and on any address when it listens on loopback (GatewayPorts no); it gives
 * no reason when it refuses.
 */
export interface Verifier {
  /**
   * Who answers at a listener that the server has granted; `port` is the one that it chose where it did. Rejects only with the connection
   * or the signal.
   */
  verify(listen: Endpoint, port: number): Promise<VerifyResult>;
  /** Whether a listener that is ours, and was asked for on loopback, is open to all (GatewayPorts yes), as far as that can be seen. */
  isExposed(listen: Endpoint, port: number): Promise<boolean>;
  /**
   * Who answers first at the places of a listener that is not ours, to whom nothing is sent; `pulse` has our end of the connection told, to
   * which what lives answers. Rejects as verify() does.
   */
  identify(listen: Endpoint, port: number, pulse?: boolean): Promise<VerifyResult>;
  /**
   * Takes the visitor that may be a test of ours, and resolves, soon, with the one who is to be served after all; with null where
   * nobody is. Null at once for one who is certainly no test, or whom there is no room for.
   */
  claim(visitor: Visitor, options: ClaimOptions): Promise<Visitor | null> | null;
}

interface ClaimOptions {
  /** Whether there is room for visitors; for a few tests there always is. */
  readonly room: boolean;
  /** Whether one who waits for the first word from the other side may be served before the tests are over. */
  readonly early: boolean;
}

export interface VerifierDeps extends IdentifyDeps {
  /** Bytes that nobody can guess, as text. */
  readonly nonce: () => string;
}

export function createVerifier(connection: VerifiedConnection, deps: VerifierDeps, signal: AbortSignal): Verifier {
  const { clock } = deps;
  const tests = new Set<Test>();
  /** Those whose words may still come, late. */
  const missed = new Set<Test>();
  let examined = 0;
  const remember = (test: Test) => {
    if (signal.aborted) return;
    missed.add(test);
    const forget = () => {
      cancel();
      signal.removeEventListener('abort', forget);
      missed.delete(test);
    };
    const cancel = clock.timer(LATE_MS, forget);
    signal.addEventListener('abort', forget, { once: true });
  };

  /** What the rules of the server forbid stays so for this connection, and is not asked for again: each time is a line of its log. */
  const forbidden = new Map<string, Sight>();
  const remembering = async (place: Endpoint, see: () => Promise<Sight>): Promise<SeenPlace> => {
    const known = forbidden.get(formatEndpoint(place));
    if (known !== undefined) return { place, sight: known };
    const sight = await see();
    if (isForbidden(sight)) forbidden.set(formatEndpoint(place), sight);
    return { place, sight };
  };

  /** Sends words of its own to this place. */
  async function test(listen: Endpoint, port: number, place: Endpoint): Promise<Sight> {
    const running: Test = {
      listen,
      port,
      place,
      words: `tunneld-verify ${deps.nonce()}\n`,
      sent: deferred<void>(),
      seen: deferred<'ours' | 'relayed'>(),
      over: childController(signal),
      done: false,
    };
    let sent = false;
    tests.add(running);
    let channel: Channel | null = null;
    try {
      channel = await visitPlace(connection, place, clock, signal);
      channel.on('error', () => {});
      sent = true;
      channel.write(running.words);
      running.sent.resolve();
      const answer = await abortable(
        Promise.race([running.seen.promise, nobodyCame(connection, clock, signal)]),
        signal,
      );
      if (answer === 'ours') return { type: 'ours' };
      // Others give their listeners out in ways of their own, and may have something else on that port of their machine.
      if (!connection.serverVersion.startsWith('OpenSSH')) return { type: 'unknown', why: NOT_OPENSSH };
      if (answer === 'slow') return { type: 'unknown', why: TOO_SLOW, passing: true };
      if (answer === 'relayed') return RELAYED;
      const late = await Promise.race([running.seen.promise, describe(listen, channel, place)]);
      if (late === 'ours') return { type: 'ours' };
      if (late === 'relayed') return RELAYED;
      return running.crowded ? { type: 'unknown', why: TOO_MANY, passing: true } : late;
    } catch (error) {
      signal.throwIfAborted();
      return withoutAnswer(asFailure(error), connection.serverVersion);
    } finally {
      tests.delete(running);
      if (sent && !running.done) remember(running);
      running.over.abort(new Error('the test is over'));
      running.over.dispose();
      if (channel !== null) discard(channel);
    }
  }

  function describe(listen: Endpoint, channel: Channel, place: Endpoint, pulse = false): Promise<Sight> {
    const again = () => visitPlace(connection, place, clock, signal);
    return identifyListener({ listen, channel, again, pulse }, deps, signal);
  }

  async function watch(listen: Endpoint, place: Endpoint, pulse: boolean): Promise<Sight> {
    let channel: Channel | null = null;
    try {
      channel = await visitPlace(connection, place, clock, signal);
      channel.on('error', () => {});
      return await describe(listen, channel, place, pulse);
    } catch (error) {
      signal.throwIfAborted();
      return withoutAnswer(asFailure(error), connection.serverVersion);
    } finally {
      if (channel !== null) discard(channel);
    }
  }

  /** Others may listen in ways that no connection of theirs leads to. */
  function known(answerer: VerifyResult): VerifyResult {
    if (answerer.type !== 'nobody' || connection.serverVersion.startsWith('OpenSSH')) return answerer;
    return { type: 'unknown', why: NOT_OPENSSH };
  }

  async function testAll(listen: Endpoint, port: number, which: 'asked' | 'instead'): Promise<readonly SeenPlace[]> {
    const { [which]: places, name } = placesOf(listen, port);
    const seeing = (place: Endpoint) => remembering(place, () => test(listen, port, place));
    const seen = await Promise.all(places.map(seeing));
    const closed = seen.filter(({ place: at, sight }) => isForbidden(sight) && isLoopback(at));
    if (name === null || closed.length === 0) return seen;
    const named = await seeing(name);
    return named.sight.type === 'unknown' ? seen : [...seen.filter((one) => !closed.includes(one)), named];
  }

  return {
    verify: async (listen, port) => {
      const asked = await testAll(listen, port, 'asked');
      const found = asked.some(({ sight }) => sight.type === 'ours');
      return known(resultOf(asked, found ? [] : await testAll(listen, port, 'instead')));
    },
    // Others than sshd give their listeners out in ways of their own.
    isExposed: async (listen, port) => {
      const { beyond } = placesOf(listen, port);
      if (beyond === null || !connection.serverVersion.startsWith('OpenSSH')) return false;
      const { sight } = await remembering(beyond, () => test(listen, port, beyond));
      return sight.type === 'ours';
    },
    identify: async (listen, port, pulse = false) => {
      const { asked, instead, name } = placesOf(listen, port);
      const [first, ...others] = asked;
      const [main, more] = [name === null ? [first!] : [first!, name], [...others, ...instead]];
      const failed: SeenPlace[] = [];
      for (const place of [...main, ...more]) {
        const seen = await remembering(place, () => watch(listen, place, pulse));
        if (seen.sight.type !== 'nobody' && !isForbidden(seen.sight)) return resultOf([seen], []);
        failed.push(seen);
      }
      const nobody = failed.slice(0, main.length).find(({ sight }) => sight.type === 'nobody');
      return known(resultOf([nobody ?? failed[0]!], []));
    },
    claim: (visitor, { room, early }) => {
      const possible = [...tests].filter((one) => mayBe(visitor, one));
      const running = possible.filter(({ place }) => comesFrom(visitor.originator, place));
      // Words of another place come only from a program that passes them on: nobody is kept waiting for that.
      const relayed = possible.filter((one) => !running.includes(one));
      const late = [...[...missed].filter((one) => mayBe(visitor, one)), ...relayed];
      if (running.length + late.length === 0) return null;
      if (!room && examined >= SPARE) {
        for (const test of running) test.crowded = true;
        return null;
      }
      examined += 1;
      const probe = early ? () => connection.probe() : null;
      return examine(visitor, running, late, { clock, probe }, signal).finally(() => (examined -= 1));
    },
  };
}

/** Those whose place is for tests when all others are taken. */
const SPARE = 16;

const TOO_SLOW = 'the server did not answer in time';
const TOO_MANY = 'too many visitors came at once to tell';

const LATE_MS = 120_000;

const RELAYED: Sight = {
  type: 'other',
  who: 'it passes on to this tunnel what it gets, from another address than it was sent to',
  answered: true,
  alive: true,
  hostKey: null,
  own: false,
};

function isForbidden(sight: Sight): boolean {
  return sight.type === 'unknown' && sight.forbidden === true;
}

function mayBe({ listen, originator }: Visitor, test: Test): boolean {
  if (test.listen.type === 'unix') return listen.type === 'unix' && listen.path === test.listen.path;
  if (listen.type !== 'tcp' || listen.host !== test.listen.host || listen.port !== test.port) return false;
  const local = ['localhost', '', '*', '0.0.0.0', '127.0.0.1', '::', '::1'].includes(test.listen.host);
  return !local || /^(?:127\.|::1:|::ffff:127\.)/.test(originator);
}
