import type { KeyboardInteractiveAuthMethod } from 'ssh2';
import { registerSecret } from '../../lib/secrets.ts';
import { printable } from '../../lib/text.ts';

/** A person at a terminal, for a login of their own. What they answer is kept nowhere, but while `fleet --watch` looks on. */
export interface Person {
  /** Asks; a `secret` answer is not shown while it is typed. Rejects where the terminal is gone. */
  answer(prompt: string, secret: boolean): Promise<string>;
}

/** As many as OpenSSH asks for (NumberOfPasswordPrompts in ssh_config(5)). */
export const PASSWORD_TRIES = 3;

/** Asks for a secret; null for an empty answer, with which a person gives up. It is masked wherever a peer sends it back. */
export async function askSecret(person: Person, prompt: string): Promise<string | null> {
  const secret = await person.answer(prompt, true);
  if (secret === '') return null;
  registerSecret(secret);
  return secret;
}

/** Passes the prompts of keyboard-interactive (RFC 4256) on to a person; `giveUp` is called where it is given up or has no end. */
export function passPrompts(
  person: Person,
  login: string,
  giveUp: () => void,
): KeyboardInteractiveAuthMethod['prompt'] {
  let rounds = 0;
  return (name, instructions, _language, prompts, finish) => {
    rounds += 1;
    if (rounds > MAX_ROUNDS || prompts.length > MAX_PROMPTS) {
      giveUp();
      return;
    }
    // No line of the server can be taken for a question of ours.
    const line = (text: string) => `(${login}) ${printable(text)}`;
    const about = [name, instructions].map((text) => text.trim()).filter((text) => text !== '');
    const ask = async () => {
      const answers: string[] = [];
      for (const { prompt, echo } of prompts) {
        const shown = [...about.splice(0), prompt.trimEnd()].map(line).join('\n');
        const answer = echo === true ? await person.answer(shown, false) : await askSecret(person, shown);
        if (answer === null) return null;
        answers.push(answer);
      }
      return answers;
    };
    void ask().then(
      (answers) => (answers === null ? giveUp() : finish(answers)),
      () => giveUp(),
    );
  };
}

/** A password, a second factor, a new password: a server that asks for more does not end. */
const MAX_ROUNDS = 10;
const MAX_PROMPTS = 10;
