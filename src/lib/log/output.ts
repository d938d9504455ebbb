import { fstatSync } from 'node:fs';
import { formatLogLine } from './format.ts';

/** Where log lines go besides memory. */
export type LogOutput = (line: string) => void;

/** Standard error: readable on a terminal, JSON with a syslog priority for the journal (sd-daemon(3)), plain JSON elsewhere. */
export function stderrOutput(stderr: NodeJS.WriteStream & { fd: number }, env: NodeJS.ProcessEnv): LogOutput {
  // The reader of a pipe may go away; the daemon goes on.
  stderr.on('error', () => {});
  if (stderr.isTTY) {
    const colour = !env['NO_COLOR'] && env['TERM'] !== 'dumb';
    return (line) => stderr.write(`${formatLogLine(line, colour)}\n`);
  }
  if (leadsToJournal(stderr.fd, env)) return (line) => stderr.write(`<${priorityOf(line)}>${line}`);
  return (line) => stderr.write(line);
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

/** pino writes the level first: `{"level":30,`. Returns a syslog priority: 7 is debug, 3 an error. */
function priorityOf(line: string): number {
  const level = Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? 30);
  if (level < 30) return 7;
  if (level < 40) return 6;
  if (level < 50) return 4;
  return level < 60 ? 3 : 2;
}
