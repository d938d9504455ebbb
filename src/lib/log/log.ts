import pino from 'pino';
import { escapeUnsafeJson } from '../text.ts';

export type Logger = Pick<pino.Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'isLevelEnabled'> & {
  child(bindings: Readonly<Record<string, string>>): Logger;
};
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** A logger whose level can be changed while it runs. */
export interface RootLogger extends Logger {
  level: string;
}

/**
 * A pino logger that writes JSON lines to `write`, one line per message, without any character that could move a cursor
 * or break the line, whatever the network put into a message. `time` is in milliseconds since 1970.
 */
export function createLogger(level: LogLevel, write: (line: string) => void): RootLogger {
  return pino({ level, base: null, errorKey: 'error' }, { write: (line: string) => write(escapeUnsafeJson(line)) });
}
