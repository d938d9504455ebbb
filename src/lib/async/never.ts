import { setMaxListeners } from 'node:events';

/** The signal of work that only the end of the process ends, as in a command. It is never aborted. */
export const NEVER: AbortSignal = new AbortController().signal;

// All of a command's work may listen at once.
setMaxListeners(0, NEVER);
