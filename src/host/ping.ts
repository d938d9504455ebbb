import { execFile } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';
import builders from 'ping/lib/builder/factory.js';
import { abortable } from '../lib/async/abort.ts';
import { deadline } from '../lib/async/deadline.ts';
import { systemClock } from '../lib/async/clock.ts';

/** Sends one echo request to an IP address: true if it is answered. May fail in any way; ends with the signal. */
export type Probe = (address: string, signal: AbortSignal) => Promise<boolean>;

/**
 * A hint from ICMP that the network is there: a yes is certain; a no may also mean that pings are dropped. Sends one echo request to every
 * host at once. Resolves with true as soon as one answers, with false when none has within 2 seconds or none could be sent. No ping outlives
 * the call. Rejects only with the reason of `signal`.
 */
export async function anyAnswers(
  hosts: readonly string[],
  signal: AbortSignal,
  probe: Probe = pingOnce,
): Promise<boolean> {
  const ask = async (host: string, own: AbortSignal) => {
    // Resolved here, because ping's own look-up is not bounded by its time-out.
    const address = isIP(host) === 0 ? (await lookup(host)).address : host;
    own.throwIfAborted();
    if (!(await probe(address, own))) throw new Error('no answer');
    return true;
  };
  const askAll = (own: AbortSignal) =>
    abortable(Promise.any(hosts.filter(isPlausibleHost).map((host) => ask(host, own))), own);
  try {
    return await deadline(systemClock, ANSWER_WITHIN_S * 1000, () => new Error('no answer'), askAll, signal);
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

const ANSWER_WITHIN_S = 2;

/** Rejects what a program could take for an option or a pattern. */
export function isPlausibleHost(host: string): boolean {
  return isIP(host) !== 0 || (host.length <= 253 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?$/i.test(host));
}

/**
 * Takes from the package what differs between platforms, and runs the program itself: the package's `probe` can neither
 * be stopped nor survive unexpected output (it parses English output, where its errors cannot be caught). The exit code
 * says as much. A program that is missing, or may not open a socket, counts as no answer.
 */
function pingOnce(address: string, signal: AbortSignal): Promise<boolean> {
  const v6 = isIPv6(address);
  const options = { timeout: ANSWER_WITHIN_S, min_reply: 1, v6 };
  const args = builders.createBuilder(process.platform).getCommandArguments(address, options);
  const program = builders.getExecutablePath(process.platform, v6);
  return new Promise((resolve) => {
    execFile(program, args, { signal, killSignal: 'SIGKILL' }, (error) => resolve(error === null));
  });
}
