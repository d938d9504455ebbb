import type { Secret } from '../protocol/internals.ts';

/** Lets a secret be computed before ssh2 asks for it, which it does synchronously. */
export function preparedSecret(secretWith: (theirs: Buffer) => Promise<Buffer>): Secret {
  let secret: Buffer | Error = new Error('the secret was not computed');
  return {
    prepareSecret: async (theirs) => {
      // The message is a view of a larger buffer.
      secret = await secretWith(Buffer.from(theirs)).catch((error: unknown) => error as Error);
    },
    computeSecret: () => {
      if (secret instanceof Error) throw secret;
      return secret;
    },
  };
}
