import type { KeyboardInteractiveAuthMethod } from 'ssh2';

/**
 * Answers keyboard-interactive (RFC 4256) without a keyboard: the first hidden prompt gets the password, all others an
 * empty answer. The password is not repeated: a second hidden prompt asks for something else.
 */
export function answerPrompts(password: string, giveUp: () => void): KeyboardInteractiveAuthMethod['prompt'] {
  let rounds = 0;
  let answered = false;
  return (_name, _instructions, _language, prompts, finish) => {
    rounds += 1;
    if (rounds > MAX_ROUNDS) {
      giveUp();
      return;
    }
    const answerable =
      !answered && prompts.length <= MAX_PROMPTS ? prompts.findIndex(({ echo }) => echo === false) : -1;
    answered ||= answerable >= 0;
    finish(prompts.map((_, index) => (index === answerable ? password : '')));
  };
}

/** A server may ask for ever; a check of a password takes one round, and one more for a final message. */
const MAX_ROUNDS = 3;

/** A longer form asks for something else, such as a new password. */
const MAX_PROMPTS = 2;
