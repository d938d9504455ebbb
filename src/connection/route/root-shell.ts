import { printable } from '../../lib/text.ts';
import { askSecret, type Person } from '../auth/person.ts';
import type { Conversation } from '../ssh/connection.ts';

/** How a login becomes root: it is root, sudo asks for nothing, sudo may ask for a password, or there is no sudo. */
export type WayToRoot = 'is' | 'free' | 'asks' | 'never';

/** A line of sh that sets `root` to the way. */
export const FIND_WAY_TO_ROOT =
  'if [ "$(id -u)" = 0 ]; then root=is; elif ! command -v sudo >/dev/null 2>&1; then root=never; elif sudo -n true 2>/dev/null; then root=free; else root=asks; fi';

/**
 * Runs a script as root of a server, by sudo where the login is not root's. The prompts of sudo are answered by asking the person, and the
 * script is written once root reads it: so none of its lines is ever taken for a password, nor the reverse, whatever sudo asks for.
 */
export function rootShell(root: WayToRoot, script: string, login: string, person: Person | null) {
  let heard = '';
  let state: 'sudo' | 'asking' | 'root' = 'sudo';
  const conversation: Conversation = (output, input) => {
    if (state === 'root') return;
    // What begins a marker or a prompt is kept, however much is printed before.
    heard = (heard + output).slice(-MAX_HEARD);
    if (heard.includes(`${READS_AS_ROOT}\n`)) {
      state = 'root';
      input.end(script);
      return;
    }
    const lines = heard.split('\n').map((line) => line.trim());
    const prompt = lines.pop() ?? '';
    // A prompt is a line without an end; what sudo itself says begins with its name, and may come in pieces.
    if (state === 'asking' || !/[:?]$/.test(prompt) || prompt.startsWith('sudo:')) return;
    state = 'asking';
    heard = '';
    if (person === null) {
      input.end('');
      return;
    }
    // The last line is that of a wrong password; what sudo tells at a first use is no news for an administrator. No line of the server
    // can be taken for one of ours.
    const before = lines.filter((line) => line !== '').slice(-1);
    const shown = [...before, prompt].map((line) => `(${login}) ${printable(line)}`).join('\n');
    const answer = (secret: string | null) => {
      // Root reads already: whatever asked, it is not answered.
      if (state === 'root') return;
      state = 'sudo';
      if (secret === null) input.end('');
      else input.write(`${secret}\n`);
    };
    // Where the terminal is gone, nobody answers.
    void askSecret(person, shown).then(answer, () => answer(null));
  };
  return {
    /** For any login shell. */
    command: commandFor(root),
    conversation,
    /** Whether root has begun to read the script. */
    hasBegun: () => state === 'root',
  };
}

const READS_AS_ROOT = 'tunneld:root-reads';

/** More than what sudo says in one go. */
const MAX_HEARD = 4096;

function commandFor(root: WayToRoot): string {
  const shell = `sh -c 'echo ${READS_AS_ROOT} >&2; exec sh -s'`;
  if (root === 'is') return shell;
  // -S reads the password from standard input and writes its prompt to standard error: no terminal is needed. -n never asks.
  return `sudo ${root === 'free' ? '-n' : '-S'} ${shell}`;
}

/** Standard error without what is ours. */
export function errorsOf(stderr: string): string {
  return stderr.replaceAll(`${READS_AS_ROOT}\n`, '').trim();
}
