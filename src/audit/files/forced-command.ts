/** What a forced command leaves to the holder of the key. */
export type Forced = 'nothing' | 'anything' | 'unknown';

/** Judged by its words alone; the programs of the server could be anything. */
export function judgeForcedCommand(command: string): Forced {
  const words = command.split(/[\s;|&"'`()$\\{}]+/).filter((word) => word !== '');
  if (/SSH_ORIGINAL_COMMAND|\beval\b/.test(command)) return 'anything';
  const programs = words.map((word) => word.slice(word.lastIndexOf('/') + 1));
  if (programs.some((name) => RUNS_ANYTHING.test(name))) return 'anything';
  const [first, ...rest] = programs;
  if (first !== undefined && FAILS.has(first)) return 'nothing';
  return first === 'exit' && rest.every((word) => /^\d+$/.test(word)) ? 'nothing' : 'unknown';
}

/** None of them reads its arguments. */
const FAILS: ReadonlySet<string> = new Set(['false', 'true', 'nologin']);

/** Shells, interpreters, programs that run their arguments, and those that read and write every file. */
const RUNS_ANYTHING =
  /^(?:(?:ba|da|a|z|k|mk|pdk|c|tc|fi|r|rba|nu|pw)?sh|busybox|python[\d.]*|perl[\d.]*|ruby[\d.]*|node(?:js)?|php[\d.]*|lua[\d.]*|tclsh[\d.]*|expect|awk|gawk|mawk|sed|env|xargs|find|sudo|doas|su|script|screen|tmux|vim?|nano|emacs|ed|less|more|man|git-shell|internal-sftp|sftp-server|scp|rsync|tar|socat|nc|ncat|gdb)$/;
