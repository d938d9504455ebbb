import { writeSync } from 'node:fs';
import { orElse } from '../../lib/or-else.ts';

/** The size of a terminal; some say nothing, or zero. */
export function terminalSize(stdout: NodeJS.WriteStream): { readonly width: number; readonly height: number } {
  return { width: stdout.columns || 80, height: stdout.rows || 24 };
}

export interface ScreenEvents {
  /** The size has changed, or what is drawn was lost: it is to be drawn again. */
  onRedraw(): void;
  /** A key that leaves was pressed. */
  onQuit(): void;
}

/**
 * Takes the terminal, to draw on it again and again: an alternate screen, so that what was on it comes back; no cursor, and keys one by one
 * where standard input is a terminal too. However the process ends, but by SIGKILL, it is given back (xterm's control sequences, ctlseqs.ms).
 */
export function openScreen(
  { stdin, stdout }: Pick<NodeJS.Process, 'stdin' | 'stdout'>,
  { onRedraw, onQuit }: ScreenEvents,
) {
  let taken = false;
  const take = () => {
    taken = true;
    if (stdin.isTTY) stdin.setRawMode(true);
    stdout.write(`${ALTERNATE_SCREEN}${HIDE_CURSOR}${NO_WRAP}${ERASE_BELOW}`);
  };
  const giveBack = () => {
    if (!taken) return;
    taken = false;
    if (stdin.isTTY) stdin.setRawMode(false);
    // The process may end before a stream has written.
    orElse(() => writeSync(stdout.fd, `${WRAP}${SHOW_CURSOR}${NORMAL_SCREEN}`), 'the terminal is gone');
  };
  const suspend = () => {
    giveBack();
    process.kill(process.pid, 'SIGTSTP');
  };
  const onContinue = () => {
    take();
    onRedraw();
  };
  const onKeys = (keys: Buffer) => {
    for (const key of keys.toString('latin1')) {
      if (QUIT_KEYS.includes(key)) return onQuit();
      if (key === CTRL_Z) suspend();
      if (key === CTRL_L) onRedraw();
    }
  };
  const dieBy = (signal: NodeJS.Signals) => {
    giveBack();
    process.removeListener(signal, dieBy);
    process.kill(process.pid, signal);
  };
  take();
  if (stdin.isTTY) stdin.on('data', onKeys).resume();
  stdout.on('resize', onRedraw);
  process.on('exit', giveBack).on('SIGCONT', onContinue);
  for (const signal of DEADLY) process.on(signal, dieBy);
  return {
    size: () => {
      const { width, height } = terminalSize(stdout);
      // To erase behind the last cell of a line would erase that.
      return { width: width - 1, height };
    },
    /** Shows these lines, none wider than the screen, in place of what is there. */
    draw: (lines: readonly string[]) => {
      if (!taken) return;
      const text = lines.map((line) => `${line}${ERASE_LINE}`).join('\r\n');
      stdout.write(`${BEGIN_FRAME}${HOME}${text}${ERASE_BELOW}${END_FRAME}`);
    },
    /** Gives the terminal back as it was. */
    close: () => {
      giveBack();
      stdin.off('data', onKeys).pause();
      stdout.off('resize', onRedraw);
      process.off('exit', giveBack).off('SIGCONT', onContinue);
      for (const signal of DEADLY) process.off(signal, dieBy);
    },
  };
}

const DEADLY: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];

const CTRL_L = '\u000c';
const CTRL_Z = '\u001a';
/** q, Q, Ctrl-C, Ctrl-D, Ctrl-\. */
const QUIT_KEYS: readonly string[] = ['q', 'Q', '\u0003', '\u0004', '\u001c'];

const HOME = '\u001b[H';
const ERASE_LINE = '\u001b[K';
const ERASE_BELOW = '\u001b[J';
const ALTERNATE_SCREEN = '\u001b[?1049h';
const NORMAL_SCREEN = '\u001b[?1049l';
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const NO_WRAP = '\u001b[?7l';
const WRAP = '\u001b[?7h';
/** Synchronized output: a terminal that does not know it ignores it. */
const BEGIN_FRAME = '\u001b[?2026h';
const END_FRAME = '\u001b[?2026l';
