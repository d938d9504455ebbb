import { type Endpoint, formatEndpoint, isLoopbackListener } from '../../model/endpoint.ts';

/** What answers at one address of the server, on a connection that the server opened to it for us. */
export type ProbeResult =
  /** The nonce that was sent there arrived here. */
  | { readonly type: 'ours' }
  /** The connection was accepted there, and the nonce did not arrive here. */
  | OtherProgram
  /** Nothing listens there. */
  | { readonly type: 'none' }
  /** The server opens no such connection for us, or its answer is not reliable; `passing` where that may be different in a minute. */
  | UnknownResult;

export interface OtherProgram {
  readonly type: 'other';
  /** What it sends first, for people. */
  readonly who: string;
  /** Whether it sent anything: a silent connection may be accepted by the kernel alone. */
  readonly answered: boolean;
  /** Whether it sent anything or closed, as no dead connection does. */
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
  /** The rules of the server forbid this text; another text may lead to the same address. */
  readonly forbidden?: boolean;
}

export interface ProbedAddress {
  readonly address: Endpoint;
  readonly result: ProbeResult;
}

/** What answers at a listener, which may have more than one address, or another one than was requested. */
export type VerifyResult =
  /** It leads here; `whole` where each of its addresses does. */
  | { readonly type: 'ours'; readonly whole: boolean }
  /** It leads here at another address than was requested. */
  | { readonly type: 'misplaced'; readonly why: string }
  /**
   * It leads here, and to another program at another of its addresses. `shared` where that is a loopback address, because sshd grants one
   * name to several tunnels; not where sshd put our listener on loopback and the other program is at the requested address.
   */
  | { readonly type: 'part'; readonly why: string; readonly other: OtherProgram; readonly shared: boolean }
  /** `certain` where every address was seen, and another program answered at each. */
  | (OtherProgram & { readonly certain: boolean })
  | { readonly type: 'none' }
  | UnknownResult;

/** The results of all addresses together. `instead` is empty unless nothing of `requested` leads here. */
export function resultOf(requested: readonly ProbedAddress[], instead: readonly ProbedAddress[]): VerifyResult {
  const here = only('ours', [...requested, ...instead]);
  const elsewhere = only('other', [...requested, ...instead]);
  const [stranger] = elsewhere;
  const [dark] = only('unknown', requested);
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
      shared: elsewhere.some(({ address }) => address.type === 'unix' || isLoopbackListener(address)),
    };
  if (dark !== undefined) {
    const why = `${leads}, but what is at ${list(only('unknown', requested))} cannot be seen: ${dark.result.why}`;
    return { ...dark.result, why };
  }
  if (only('ours', requested).length > 0) return { type: 'ours', whole: only('none', requested).length === 0 };
  const why = `the server listens on loopback only (GatewayPorts no): ${leads}, and nothing listens on ${list(requested)}`;
  return { type: 'misplaced', why };
}

type Seen<T extends ProbeResult['type']> = ProbedAddress & { readonly result: Extract<ProbeResult, { type: T }> };

function only<T extends ProbeResult['type']>(type: T, addresses: readonly ProbedAddress[]): readonly Seen<T>[] {
  return addresses.filter((seen): seen is Seen<T> => seen.result.type === type);
}

function list(addresses: readonly ProbedAddress[]): string {
  return addresses.map(({ address }) => formatEndpoint(address)).join(' and ');
}

/** Why a listener is in use, in words. */
export function inUseReason(who: string): string {
  return who === SILENT
    ? 'another program listens there, or a dead connection of this tunnel that the server still holds'
    : `another program listens there: ${who}`;
}

/** What to do about a listener in use, where the program was identified. */
export function inUseHint({ hostKey, own }: OtherProgram): string | undefined {
  if (own) return OWN_HINT;
  return hostKey === null ? undefined : ANOTHERS_HINT;
}

export const OWN_HINT =
  'If that is ssh or autossh on this device (`ps -C ssh,autossh -o pid,args`), end it: `systemctl status PID` names its unit, and `sudo systemctl disable --now UNIT` ends that; `sudo tunneld install` takes over a unit named tunnel.service.';

export const ANOTHERS_HINT =
  "That port leads to another device and is not taken from it: choose another one (remoteForward). To give it to this device, end the other's tunnel and run `tunneld retry NAME --take` here.";

/** The connection was accepted and closed. */
export const CLOSES = 'it closes the connection without a word';

/** The connection was accepted, and nothing was sent. */
export const SILENT = 'it says nothing';
