import { internalsOf } from './protocol/internals.ts';
import type { Client } from 'ssh2';
import { printable } from '../../lib/text.ts';

/** The algorithms that both sides offer in the key exchange, which ssh2 shows only in its `debug` output. */
export function recordOffer() {
  const lists = new Map<string, string>();
  let stopped = false;
  return {
    /** The `debug` option of ssh2's connect(). */
    debug: (text: string): void => {
      const [, whose, what, list] = (!stopped && LIST.exec(text)) || [];
      if (whose !== undefined && what !== undefined) lists.set(`${whose} ${what}`, list ?? '');
    },
    /** Adds to a message that nothing matches what the server offers and what is allowed here; safe to print. */
    explain: (message: string): string => {
      const [, unmatched = ''] = /no matching (.*)$/i.exec(message) ?? [];
      const kind = KINDS.find(({ pattern }) => pattern.test(unmatched));
      const direction = /[CS]->[CS] /.exec(unmatched)?.[0] ?? '';
      const theirs = kind && lists.get(`remote ${direction}${kind.name}`);
      if (kind === undefined || theirs === undefined) return message;
      const ours = lists.get(`local ${direction}${kind.name}`) ?? '';
      return `no ${kind.noun} in common: the server offers ${names(theirs, MAX_LIST)}; ${kind.key} here allows ${names(ours, 120)}`;
    },
    /** Stops listening after the key exchange, so that ssh2 formats no text for every packet. */
    stop: (client: Client): void => {
      stopped = true;
      lists.clear();
      internalsOf(client)._protocol._debug = undefined;
    },
  };
}

/** handleKexInit in ssh2's kex.js. */
const LIST = /^Handshake: \((local|remote)\) ([^:]+): (.*)$/s;

const KINDS = [
  { pattern: /^key exchange/, name: 'KEX method', noun: 'key exchange', key: 'kexAlgorithms' },
  { pattern: /^host key/, name: 'Host key format', noun: 'host key algorithm', key: 'hostKeyAlgorithms' },
  { pattern: /cipher$/, name: 'cipher', noun: 'cipher', key: 'ciphers' },
  { pattern: /MAC$/, name: 'MAC', noun: 'MAC', key: 'macs' },
  { pattern: /compression/, name: 'compression', noun: 'compression', key: 'compression' },
] as const;

/**
 * Leaves out signalling names that are no algorithms (RFC 8308 section 2.1, strict key exchange of OpenSSH's PROTOCOL).
 */
function names(list: string, maxLength: number): string {
  const real = list.split(',').filter((name) => !/^(?:ext-info-[cs]|kex-strict-[cs]-.*)$/.test(name) && name !== '');
  return real.length === 0 ? 'none' : printable(real.join(', '), maxLength);
}

/** More than any honest server offers. */
const MAX_LIST = 700;
