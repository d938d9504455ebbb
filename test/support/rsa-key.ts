import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** Nobody but these tests uses what is in there. */
const KEPT = join(import.meta.dirname, '../../node_modules/.cache/tunneld-rsa-keys');

/**
 * Makes an RSA key as `ssh-keygen -t rsa -b 2048 -N ''` does, with its public half beside it. To find one takes a quarter of a second of a
 * processor, and so they are kept: the first of a process is the first of every other one. Of one process all are different.
 */
export function writeRsaKey(file: string, comment = ''): void {
  const kept = join(KEPT, String((taken += 1)));
  if (!existsSync(kept)) find(kept);
  copyFileSync(join(kept, 'key'), file);
  chmodSync(file, 0o600);
  const [type, blob] = readFileSync(join(kept, 'key.pub'), 'utf8').split(' ');
  writeFileSync(`${file}.pub`, `${type} ${blob!.trim()} ${comment}\n`);
  if (comment !== '') execFileSync('ssh-keygen', ['-q', '-c', '-C', comment, '-f', file]);
}

let taken = 0;

/** Another process may find one at the same time: the first stays. */
function find(kept: string): void {
  mkdirSync(KEPT, { recursive: true, mode: 0o700 });
  const own = mkdtempSync(`${kept}-`);
  execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-C', '', '-f', join(own, 'key')]);
  try {
    renameSync(own, kept);
  } catch {
    rmSync(own, { recursive: true });
  }
}
