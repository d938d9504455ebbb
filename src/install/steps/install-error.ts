import { UserError } from '../../lib/user-error.ts';

/** Why an installation cannot be. */
export class InstallError extends UserError {}
