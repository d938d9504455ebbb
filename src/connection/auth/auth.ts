import type { AnyAuthMethod, AuthHandlerMiddleware } from 'ssh2';
import { systemClock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { errorText, printable } from '../../lib/text.ts';
import type { AuthMethod } from '../../model/options.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { AuthReport, Offer, OfferResult } from './auth-report.ts';
import { loadCredentials, type Credentials, type Identity } from './credentials.ts';
import type { IdentityCache } from './identity-cache.ts';
import { certificateFacts } from './certificate-facts.ts';
import { loginKey, type SigningEvents } from './login-key.ts';
import { answerPrompts } from './keyboard-interactive.ts';
import { askSecret, passPrompts, PASSWORD_TRIES, type Person } from './person.ts';

/**
 * Reads keys and passwords for one attempt, and warns once about each that cannot be used while others can. `trusted` says whether the
 * server's host key is known: a password is sent to no other server, as with ssh. With `asksFirst` the server is asked for its methods
 * before anything is offered, also where that is not needed. A `person` is asked for passphrases and passwords; null without a terminal.
 */
export async function prepareAuthentication(
  spec: ServerSpec,
  tunnel: string,
  cache: IdentityCache,
  log: Logger,
  trusted: () => boolean,
  clock = systemClock,
  asksFirst = false,
  person: Person | null = null,
): Promise<Authenticator> {
  const credentials = await loadCredentials(spec, cache, clock, person);
  for (const note of cache.newNotes(`${tunnel} ${spec.user}@${spec.host}:${spec.port}`, credentials.notes))
    log.warn(note);
  return new Authenticator(spec, credentials, trusted, asksFirst, person);
}

/** The authentication of one login to one server: offers keys, then the password, each once, and only what the server still accepts. */
export class Authenticator {
  /** For ssh2's `connect`. */
  readonly handler: AuthHandlerMiddleware = (methodsLeft: readonly string[] | null, partial, advance) => {
    this.#recordAnswer(methodsLeft, partial);
    return this.#next(advance);
  };
  /** The server has named the signature algorithms that it accepts (RFC 8308, server-sig-algs). */
  readonly hearSignatures = (announced: readonly string[]): void => {
    this.#announced = announced;
  };
  readonly #spec: ServerSpec;
  readonly #credentials: Credentials;
  readonly #trusted: () => boolean;
  readonly #asksFirst: boolean;
  readonly #person: Person | null;
  readonly #ask: AnyAuthMethod;
  readonly #offers: MutableOffer[] = [];
  readonly #withheld: string[] = [];
  #queue: Candidate[] | null = null;
  #current: Attempt | null = null;
  #accepts: readonly string[] | null = null;
  #acceptsAlone: readonly string[] | null = null;
  #lastAnswer: readonly string[] | null = null;
  // By `none`, as ssh does (which costs no try): before an agent is asked to sign.
  #asked = false;
  #announced: readonly string[] | null = null;

  constructor(
    spec: ServerSpec,
    credentials: Credentials,
    trusted: () => boolean,
    asksFirst = false,
    person: Person | null = null,
  ) {
    this.#spec = spec;
    this.#credentials = credentials;
    this.#trusted = trusted;
    this.#asksFirst = asksFirst;
    this.#person = person;
    this.#ask = { type: 'none', username: spec.user };
  }

  /** Records the server's answer to the last offer. ssh2 calls with the same list again where there was no answer. */
  #recordAnswer(methodsLeft: readonly string[] | null, partial: boolean): void {
    const fresh = methodsLeft !== this.#lastAnswer;
    this.#lastAnswer = methodsLeft;
    if (fresh) this.#accepts = methodsLeft;
    this.#acceptsAlone ??= methodsLeft;
    if (this.#current === null) return;
    const { candidate, offer } = this.#current;
    this.#current = null;
    if (!fresh) {
      // The only remaining reason with a key that has signed before (getKeyAlgos in ssh2's client.js).
      offer.result = {
        type: 'unusable',
        reason: 'not sent: the server accepts none of the signature algorithms of this key',
      };
    } else {
      offer.result = { type: partial ? 'partial' : 'refused' };
      // Sent before the server had listed its methods; it may be right after another method.
      const tooEarly = !partial && this.#accepts?.includes(candidate.method) === false;
      if (tooEarly && !candidate.again) this.#queue?.unshift({ ...candidate, again: true });
    }
  }

  /** The next offer; false where nothing is left that the server accepts, undefined where `advance` is called with it later. */
  #next(advance: Advance): AnyAuthMethod | false | undefined {
    this.#queue ??= candidates(this.#spec, this.#credentials, this.#person, this.#trusted(), this.#withheld);
    const queue = this.#queue;
    const accepts = this.#accepts;
    if (this.#isToAsk(queue[0])) {
      this.#asked = true;
      return this.#ask;
    }
    const index = queue.findIndex(({ method }) => accepts === null || accepts.includes(method));
    const [candidate] = index < 0 ? [] : queue.splice(index, 1);
    if (candidate === undefined) return false;
    const offer: MutableOffer = {
      method: candidate.method,
      key: publicPart(candidate),
      result: { type: 'pending' },
      signed: false,
    };
    this.#offers.push(offer);
    this.#current = { offer, candidate };
    if (candidate.method === 'publickey') return this.#offerKey(candidate.identity, this.#current, advance);
    return this.#offerPassword(candidate, advance);
  }

  #offerPassword({ method, password }: PasswordCandidate, advance: Advance): AnyAuthMethod | undefined {
    const { user: username, host } = this.#spec;
    const server = `${username}@${host}`;
    const giveUp = () => {
      this.#queue = [];
      advance(this.#ask);
    };
    if (method === 'keyboard-interactive') {
      const prompt =
        typeof password === 'string' ? answerPrompts(password, giveUp) : passPrompts(password, server, giveUp);
      return { type: method, username, prompt };
    }
    if (typeof password === 'string') return { type: method, username, password };
    const later = (typed: string | null) => {
      if (typed === null) giveUp();
      else advance({ type: method, username, password: typed });
    };
    void askSecret(password, `${server}'s password: `).then(later, giveUp);
    return undefined;
  }

  #isToAsk(first: Candidate | undefined): boolean {
    if (this.#accepts !== null || this.#asked) return false;
    return this.#asksFirst || first === undefined || isFromAgent(first);
  }

  #offerKey(identity: Identity, mine: Attempt, advance: Advance): AnyAuthMethod {
    const { user: username, pubkeyAcceptedAlgorithms: accepted } = this.#spec;
    const choice = { announced: this.#announced, accepted };
    const key = loginKey(identity, this.#credentials.agent, choice, this.#signingEvents(mine, advance));
    return { type: 'publickey', username, key };
  }

  #signingEvents(mine: Attempt, advance: Advance): SigningEvents {
    return {
      signed: () => {
        mine.offer.signed = true;
      },
      failed: (error) => {
        if (mine !== this.#current) return;
        mine.offer.result = {
          type: 'unusable',
          reason: `${mine.offer.key?.source === 'agent' ? 'the agent did not sign' : 'cannot sign'}: ${printable(errorText(error))}`,
        };
        this.#current = null;
        try {
          // If it were returned to ssh2, the error would end the connection. Where nothing is left to offer, the answer
          // to `none` makes ssh2 ask again, and so end in its usual way.
          const next = this.#next(advance);
          if (next !== undefined) advance(next || this.#ask);
        } catch {
          // The connection ended while the agent was silent, and ssh2's zlib throws on a write; the connection's
          // failure is reported elsewhere.
        }
      },
    };
  }

  /** What has been offered so far. */
  report(): AuthReport {
    return {
      offers: this.#offers.map((offer) => ({ ...offer })),
      accepts: this.#accepts,
      acceptsAlone: this.#acceptsAlone,
      unwanted: [...new Set((this.#queue ?? []).map(({ method }) => method))],
      // One of them may be the key that the server would accept.
      withheld: [...this.#withheld, ...this.#credentials.notes],
    };
  }
}

/** ssh2's callback for the next offer. */
type Advance = (auth: AnyAuthMethod) => void;

interface Attempt {
  readonly candidate: Candidate;
  readonly offer: MutableOffer;
}

type Candidate = { readonly again?: true } & (
  | { readonly method: 'publickey'; readonly identity: Identity }
  | PasswordCandidate
);

interface PasswordCandidate {
  readonly method: Exclude<AuthMethod, 'publickey'>;
  /** A password, or who is asked for it. */
  readonly password: string | Person;
}

interface MutableOffer extends Offer {
  result: OfferResult;
  signed: boolean;
}

function candidates(
  { authentications }: ServerSpec,
  { identities, password }: Credentials,
  person: Person | null,
  trusted: boolean,
  withheld: string[],
): Candidate[] {
  if (password !== null && !trusted)
    withheld.push("the password was withheld because the server's host key is unknown");
  return authentications.flatMap((method): Candidate[] => {
    if (method === 'publickey') return identities.map((identity) => ({ method, identity }));
    if (!trusted) return [];
    return [
      ...(password === null ? [] : [{ method, password }]),
      ...(person === null ? [] : Array.from({ length: PASSWORD_TRIES }, () => ({ method, password: person }))),
    ];
  });
}

function isFromAgent(candidate: Candidate): boolean {
  return candidate.method === 'publickey' && candidate.identity.source === 'agent';
}

/** The key's public description, for reports. */
function publicPart(candidate: Candidate): Offer['key'] {
  if (candidate.method !== 'publickey') return null;
  const { source, path, comment, keyType, fingerprint, certificate } = candidate.identity;
  return {
    source,
    path,
    comment,
    keyType,
    fingerprint,
    ...(certificate === null ? {} : { certificate: certificateFacts(certificate) }),
  };
}
