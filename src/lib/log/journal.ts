import { write } from 'node:fs';
import { errorCode } from '../text.ts';
import { formatFields, formatMessage, priorityOf } from './format.ts';

/** Where log lines go, one after the other. */
export interface WaitingOutput {
  readonly write: (line: string) => void;
  /** Resolves when no line waits any more. Never rejects. */
  written(): Promise<void>;
}

/**
 * Writes log lines as entries with fields, in journald's native protocol, to a descriptor that is connected to its socket. While journald
 * does not read, lines wait in memory, bounded, and the daemon goes on. `fallback` gets a line that is too large for a datagram, and every
 * line once the socket is gone.
 */
export function journalOutput(fd: number, fallback: (line: string) => void): WaitingOutput {
  const waiting: string[] = [];
  const idle = new Set<() => void>();
  let characters = 0;
  let lost = 0;
  let busy = false;
  let gone = false;

  const add = (line: string) => {
    waiting.push(line);
    characters += line.length;
    while (waiting.length > MAX_LINES || characters > MAX_CHARACTERS) {
      characters -= waiting.shift()!.length;
      lost += 1;
    }
  };
  const next = () => {
    const line = lost > 0 ? lostLine(lost) : waiting.shift();
    busy = line !== undefined;
    if (line === undefined) {
      for (const done of idle) done();
      idle.clear();
      return;
    }
    if (lost > 0) lost = 0;
    else characters -= line.length;
    // Not writeSync: where the socket's queue is full it would wait for journald, and all tunnels with it.
    write(fd, journalEntry(line), (error) => {
      if (error !== null) {
        gone = errorCode(error) !== 'EMSGSIZE';
        fallback(line);
      }
      if (gone) for (const rest of waiting.splice(0)) fallback(rest);
      next();
    });
  };
  return {
    write: (line) => {
      if (gone && !busy) return fallback(line);
      add(line);
      if (!busy) next();
    },
    written: () => (busy ? new Promise((resolve) => idle.add(resolve)) : Promise.resolve()),
  };
}

/** As much as the memory of the log has. */
const MAX_LINES = 1000;
const MAX_CHARACTERS = 256 * 1024;

function lostLine(lost: number): string {
  return JSON.stringify({ level: 40, msg: 'lines of the log are missing here: journald did not read', lost });
}

/**
 * One entry, see "Native Journal Protocol" of systemd: `FIELD=value` lines. No value has more than one line, because control characters
 * are escaped.
 */
function journalEntry(line: string): string {
  const own = [
    ['MESSAGE', formatMessage(line)],
    ['PRIORITY', String(priorityOf(line))],
    ['SYSLOG_IDENTIFIER', 'tunneld'],
  ] as const;
  const fields = formatFields(line)
    // `rttMs` is `RTT_MS`.
    .map(([key, value]) => [key.replaceAll(/[A-Z]/g, '_$&').toUpperCase(), value] as const)
    .filter(([name]) => /^[A-Z][A-Z0-9_]{0,63}$/.test(name) && !OWN.test(name));
  return [...own, ...fields].map(([name, value]) => `${name}=${value}\n`).join('');
}

/** Fields that journald, or the line itself, gives a meaning (systemd.journal-fields(7)). */
const OWN = /^(?:MESSAGE|PRIORITY|SYSLOG_|CODE_)/;
