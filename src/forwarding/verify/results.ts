import { type Endpoint, formatEndpoint } from '../../model/spec.ts';

/** Who answers at one place of the server, as seen by a connection that the server opened to it for us. */
export type ProbeResult =
  /** What we sent there came out here. */
  | { readonly type: 'ours' }
  /** A connection is taken there, and what we sent did not come out here. */
  | OtherProgram
  /** Nobody listens there. */
  | { readonly type: 'none' }
  /** The server opens no such connection for us, or does not tell; `passing` where that may be different in a minute. */
  | UnknownResult;

export interface OtherProgram {
  readonly type: 'other';
  /** What it says, for people. */
  readonly who: string;
  /** Whether it said anything: what takes a connection in silence may be the kernel's doing alone. */
  readonly answered: boolean;
  /** Whether it said or ended anything, as no dead connection does. */
  readonly alive: boolean;
  /** The fingerprint of its host key; null where it is no SSH server, or showed none. */
  readonly hostKey: string | null;
  /** Whether that key is this device's, or that of the listener's target. */
  readonly own: boolean;
}

interface UnknownResult {
  readonly type: 'unknown';
  readonly why: string;
  readonly passing?: boolean;
  /** The rules of the server forbid this text, so that another text may lead to the same place. */
  readonly forbidden?: boolean;
}

export interface ProbedAddress {
  readonly address: Endpoint;
  readonly result: ProbeResult;
}

/** Who answers at a listener, of which a server may have more than one place, or another than was asked for. */
export type VerifyResult =
  /** It leads here; `whole` where each of its places does. */
  | { readonly type: 'ours'; readonly whole: boolean }
  /** It leads here at another place than was asked for. */
  | { readonly type: 'misplaced'; readonly why: string }
  /** It leads here, and to somebody else at another of its places. */
  | { readonly type: 'part'; readonly why: string; readonly other: OtherProgram }
  /** `certain` where every place was seen, and another program said something. */
  | (OtherProgram & { readonly certain: boolean })
  | { readonly type: 'none' }
  | UnknownResult;

/** What was seen at all places together. `instead` is empty unless nothing of `asked` leads here. */
export function resultOf(asked: readonly ProbedAddress[], instead: readonly ProbedAddress[]): VerifyResult {
  const here = only('ours', [...asked, ...instead]);
  const elsewhere = only('other', [...asked, ...instead]);
  const [stranger] = elsewhere;
  const [dark] = only('unknown', asked);
  if (here.length === 0) {
    const unseen = dark ?? only('unknown', instead)[0];
    if (stranger === undefined) return unseen?.result ?? { type: 'none' };
    return {
      ...stranger.result,
      certain: unseen === undefined && elsewhere.every(({ result }) => result.answered),
    };
  }
  const leads = `${list(here)} ${here.length === 1 ? 'leads' : 'lead'} here`;
  if (stranger !== undefined)
    return {
      type: 'part',
      why: `${leads}, but at ${list(elsewhere)} ${inUseReason(stranger.result.who)}`,
      other: stranger.result,
    };
  if (dark !== undefined) {
    const why = `${leads}, but what is at ${list(only('unknown', asked))} cannot be seen: ${dark.result.why}`;
    return { ...dark.result, why };
  }
  if (only('ours', asked).length > 0) return { type: 'ours', whole: only('none', asked).length === 0 };
  const why = `the server listens on loopback only (GatewayPorts no): ${leads}, and nobody listens on ${list(asked)}`;
  return { type: 'misplaced', why };
}

type Seen<T extends ProbeResult['type']> = ProbedAddress & { readonly result: Extract<ProbeResult, { type: T }> };

function only<T extends ProbeResult['type']>(type: T, places: readonly ProbedAddress[]): readonly Seen<T>[] {
  return places.filter((seen): seen is Seen<T> => seen.result.type === type);
}

function list(places: readonly ProbedAddress[]): string {
  return places.map(({ address }) => formatEndpoint(address)).join(' and ');
}

/** Whose the listener is, in words. */
export function inUseReason(who: string): string {
  return who === SILENT
    ? 'another program listens there, or a dead connection of this tunnel that the server still holds'
    : `another program listens there: ${who}`;
}

/** What to do about it, where it was seen who that is. */
export function inUseHint({ hostKey, own }: OtherProgram): string | undefined {
  if (own) return OWN_HINT;
  return hostKey === null ? undefined : ANOTHERS_HINT;
}

export const OWN_HINT =
  'If that is ssh or autossh on this device (`ps -C ssh,autossh -o pid,args`), end it: `systemctl status PID` names its unit, and `sudo systemctl disable --now UNIT` ends that; `sudo tunneld install` takes over one that is called tunnel.service.';

export const ANOTHERS_HINT =
  "That port leads to another device, whose it stays: choose another one (remoteForward). If it is to be this device's, end the other's tunnel, and say `tunneld retry NAME --take` here.";

/** Somebody took the connection and ended it. */
export const CLOSES = 'it closes the connection without a word';

/** Somebody took the connection and said nothing. */
export const SILENT = 'it says nothing';
