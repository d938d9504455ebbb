import { createHash } from 'node:crypto';

/** Puts a line with a checksum in front of a text, so that later edits can be detected. `advice` ends that line. */
export function withChecksum(text: string, advice: string): string {
  return `${PREFIX}${digest(text)}. ${advice}\n${text}`;
}

/** Whether a text is as withChecksum() made it, was edited since, or never had a checksum. */
export function checksumState(text: string): 'intact' | 'edited' | 'none' {
  const [line = ''] = text.split('\n', 1);
  if (!line.startsWith(PREFIX)) return text.includes(PREFIX) ? 'edited' : 'none';
  return line.startsWith(`${PREFIX}${digest(text.slice(line.length + 1))}.`) ? 'intact' : 'edited';
}

const PREFIX = '# Written by tunneld install: sha256 ';

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
