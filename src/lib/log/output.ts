import { fstatSync } from 'node:fs';
import { inheritedDescriptor } from '../inherited-descriptor.ts';
import { formatLogLine, formatMessage, priorityOf } from './format.ts';
import { journalOutput, type WaitingOutput } from './journal.ts';

/** Where log lines go besides memory. */
export type LogOutput = (line: string) => void;

/**
 * Standard error: readable on a terminal, JSON elsewhere. Where it leads to the journal, readable lines: as entries with fields where the
 * unit passes on journald's socket (`OpenFile=/run/systemd/journal/socket:journal`, systemd 253 and later), because Node.js cannot open it;
 * else as text with a syslog priority (sd-daemon(3)).
 */
export function stderrOutput(stderr: NodeJS.WriteStream & { fd: number }, env: NodeJS.ProcessEnv): WaitingOutput {
  // The reader of a pipe may go away; the daemon goes on.
  stderr.on('error', () => {});
  const written = () => Promise.resolve();
  if (stderr.isTTY) {
    const colour = !env['NO_COLOR'] && env['TERM'] !== 'dumb';
    return { write: (line) => stderr.write(`${formatLogLine(line, colour)}\n`), written };
  }
  if (!leadsToJournal(stderr.fd, env)) return { write: (line) => stderr.write(line), written };
  const asText: LogOutput = (line) => stderr.write(`<${priorityOf(line)}>${formatMessage(line)}\n`);
  const socket = inheritedDescriptor(env, process.pid, 'journal');
  return socket === null ? { write: asText, written } : journalOutput(socket, asText);
}

/** The prefix of an error line on standard error that does not come from the log: for the journal its priority. */
export function errorPrefix(stderr: { fd: number }, env: NodeJS.ProcessEnv): string {
  return leadsToJournal(stderr.fd, env) ? '<3>' : '';
}

/** systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream that systemd connected to the journal. */
function leadsToJournal(fd: number, env: NodeJS.ProcessEnv): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
}
