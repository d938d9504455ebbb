import type { Client } from 'ssh2';
import { dataFault, openingFault, ProtocolViolation, windowFault } from './violations.ts';
import { type Handlers, internalsOf, type Internals, type Messages, type OpenChannel } from './internals.ts';

/**
 * Checks a server's messages before ssh2 acts on them: their numbers, their order, and how much memory they cost. A
 * violation is thrown, so that ssh2 stops reading there and reports it as the error of the connection. Call right after
 * client.connect().
 */
export function guardProtocol(client: Client, stream: { readonly writableLength: number }): void {
  const internals = internalsOf(client);
  const login = guardLogin(internals);
  const answers = guardAnswers(internals, stream);
  guardRequests(internals, login, answers);
  guardChannels(internals, login, answers);
  guardData(internals);
}

interface Login {
  /** Throws before the login: until then a server has nothing to request. */
  mustBeOver(): void;
}

function guardLogin({ _protocol: protocol }: Internals): Login {
  const { _handlers: handlers } = protocol;
  let accepted = false;
  let banners = 0;
  let over = false;
  /** Authentication requests that the server has not answered yet. */
  let attempts = 0;
  const counted =
    (send: (...args: never[]) => void): typeof send =>
    (...args) => {
      attempts++;
      send.apply(protocol, args);
    };
  // By their names: a property that is added by another way makes V8 keep all of them in a table, and each use of one is a search.
  protocol.authNone = counted(protocol.authNone);
  protocol.authPassword = counted(protocol.authPassword);
  protocol.authPK = counted(protocol.authPK);
  protocol.authKeyboard = counted(protocol.authKeyboard);
  const isAsked = () => {
    if (over || attempts === 0) throw new ProtocolViolation('it answers a login that was not requested');
  };
  const answered = () => {
    isAsked();
    attempts--;
  };
  before(handlers, 'SERVICE_ACCEPT', () => {
    if (accepted) throw new ProtocolViolation('it starts the login a second time');
    accepted = true;
  });
  before(handlers, 'USERAUTH_BANNER', () => {
    banners++;
    if (banners > MAX_BANNERS) throw new ProtocolViolation('it sends banners without end');
  });
  before(handlers, 'USERAUTH_FAILURE', (methods) => {
    answered();
    if (!Array.isArray(methods)) throw new ProtocolViolation('its list of authentication methods is malformed');
  });
  before(handlers, 'USERAUTH_SUCCESS', () => {
    answered();
    over = true;
  });
  before(handlers, 'USERAUTH_PK_OK', answered);
  before(handlers, 'USERAUTH_INFO_REQUEST', isAsked);
  before(handlers, 'USERAUTH_PASSWD_CHANGEREQ', isAsked);
  return {
    mustBeOver: () => {
      if (!over) throw new ProtocolViolation('it sends a request before the login');
    },
  };
}

const MAX_BANNERS = 100;

interface Answers {
  /** Called before each answer that the server demands. */
  demanded(): void;
}

/**
 * A server that makes requests and does not read our answers, or does not finish a key exchange that delays them, would
 * fill the memory.
 */
function guardAnswers({ _protocol: protocol }: Internals, stream: { readonly writableLength: number }): Answers {
  let unread = 0;
  return {
    demanded: () => {
      if (stream.writableLength <= BACKLOG && protocol._kexinit === undefined) unread = 0;
      unread++;
      if (unread > MAX_UNREAD)
        throw new ProtocolViolation('it sends requests without end, and does not read the answers');
    },
  };
}

/** More than what may be queued on a connection that is merely slow (see transport.ts). */
const BACKLOG = 1024 * 1024;

const MAX_UNREAD = 4096;

function guardRequests({ _protocol: { _handlers: handlers } }: Internals, login: Login, answers: Answers): void {
  let announcements = 0;
  before(handlers, 'GLOBAL_REQUEST', (name, wantReply) => {
    login.mustBeOver();
    if (wantReply) answers.demanded();
    if (name !== 'hostkeys-00@openssh.com') return;
    announcements++;
    // Each announcement is answered by a request to the server: ssh accepts one per connection (clientloop.c).
    if (announcements > MAX_ANNOUNCEMENTS) throw new ProtocolViolation('it announces its host keys without end');
  });
}

const MAX_ANNOUNCEMENTS = 100;

function guardChannels({ _protocol: protocol, _chanMgr: table }: Internals, login: Login, answers: Answers): void {
  const { _handlers: handlers } = protocol;
  /** The server's numbers of channels that are open, or may be after our answer. */
  const taken = new Set<number>();

  const entryOf = (id: number) => {
    // Rejects also a truncated message, whose number is undefined.
    if (!(id <= table._cur)) throw new ProtocolViolation(`it names channel ${id}, which never existed`);
    return table.get(id);
  };
  /** Null for a channel that is closed by now. */
  const channelOf = (id: number): OpenChannel | null => {
    const entry = entryOf(id);
    if (entry === undefined) return null;
    if (typeof entry !== 'object') throw new ProtocolViolation(`it names channel ${id}, which is not open yet`);
    return entry;
  };
  const mustBeWaiting = (id: number) => {
    if (typeof entryOf(id) !== 'function')
      throw new ProtocolViolation(`it answers for channel ${id}, which waits for no answer`);
  };
  const mustBeSound = (fault: string | null) => {
    if (fault !== null) throw new ProtocolViolation(fault);
  };
  const hasData = (id: number, data: Buffer, extended: boolean) => {
    const channel = channelOf(id);
    // As ssh: data after the end is dropped, and so is a second stream where no program runs.
    if (channel?.incoming.state !== 'open' || (extended && channel.type !== 'session')) return DROP;
    mustBeSound(dataFault(channel, data.length));
    return undefined;
  };

  const refuse = protocol.channelOpenFail;
  protocol.channelOpenFail = (id, reason, text) => {
    taken.delete(id);
    refuse.call(protocol, id, reason, text);
  };
  before(handlers, 'CHANNEL_OPEN', (opening) => {
    login.mustBeOver();
    answers.demanded();
    mustBeSound(openingFault(opening, taken));
    if (taken.size >= MAX_CHANNELS) throw new ProtocolViolation(`it leaves more than ${MAX_CHANNELS} channels open`);
    taken.add(opening.sender);
    // The port is only shown and passed to targets; OpenSSH itself makes one up where there is none.
    if ((opening.data.srcPort ?? 0) > 65_535) opening.data.srcPort = 0;
  });
  before(handlers, 'CHANNEL_OPEN_CONFIRMATION', (opening) => {
    mustBeWaiting(opening.recipient);
    mustBeSound(openingFault(opening, taken));
    taken.add(opening.sender);
  });
  before(handlers, 'CHANNEL_OPEN_FAILURE', mustBeWaiting);
  before(handlers, 'CHANNEL_DATA', (id, data) => hasData(id, data, false));
  before(handlers, 'CHANNEL_EXTENDED_DATA', (id, data) => hasData(id, data, true));
  before(handlers, 'CHANNEL_WINDOW_ADJUST', (id, bytes) => {
    const channel = channelOf(id);
    if (channel !== null) mustBeSound(windowFault(channel, bytes));
  });
  before(handlers, 'CHANNEL_REQUEST', (id, _type, wantReply) => {
    if (channelOf(id) !== null && wantReply) answers.demanded();
  });
  before(handlers, 'CHANNEL_SUCCESS', (id) => void channelOf(id));
  before(handlers, 'CHANNEL_FAILURE', (id) => void channelOf(id));
  before(handlers, 'CHANNEL_EOF', (id) => void channelOf(id));
  before(handlers, 'CHANNEL_CLOSE', (id) => {
    // Some servers close a channel that they do not want to open.
    if (typeof entryOf(id) === 'function') return;
    const channel = channelOf(id);
    if (channel !== null) taken.delete(channel.outgoing.id);
  });
}

/** What is wrong with data is said on its way through ssh2. */
function guardData({ _protocol: protocol, _chanMgr: table }: Internals): void {
  const { takeData } = protocol;
  protocol.takeData = (ours, memory, start, end) => {
    const channel = table.get(ours);
    const isSound = typeof channel === 'object' && dataFault(channel, end - start) === null;
    return isSound && takeData(ours, memory, start, end);
  };
}

/** Far more than are ever used at once: the others were closed here, and the server never closed its end. */
const MAX_CHANNELS = 4096;

const DROP = 'drop';

/** Checks a message before ssh2 handles it. */
function before<Name extends keyof Messages>(
  handlers: Handlers,
  name: Name,
  judge: (...message: Messages[Name]) => typeof DROP | void,
): void {
  const handle: (protocol: unknown, ...message: Messages[Name]) => void = handlers[name];
  const judged: typeof handle = (protocol, ...message) => {
    if (judge(...message) !== DROP) handle(protocol, ...message);
  };
  Object.assign(handlers, { [name]: judged });
}
