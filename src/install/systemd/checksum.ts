import { createHash } from 'node:crypto';

/** A file of ours with a first line by which it is known whether somebody edited it. */
export function withChecksum(text: string, advice: string): string {
  return `${PREFIX}${digest(text)}. ${advice}\n${text}`;
}

/** What such a line tells: as we wrote it, edited since, or not from us. */
export function checksumState(text: string): 'intact' | 'edited' | 'none' {
  const [line = ''] = text.split('\n', 1);
  if (!line.startsWith(PREFIX)) return text.includes(PREFIX) ? 'edited' : 'none';
  return line.startsWith(`${PREFIX}${digest(text.slice(line.length + 1))}.`) ? 'intact' : 'edited';
}

const PREFIX = '# Written by tunneld install: sha256 ';

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
