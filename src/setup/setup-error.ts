import { UserError } from '../lib/user-error.ts';

/** Why nothing can be generated for a tunnel. */
export class SetupError extends UserError {}
