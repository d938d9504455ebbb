/** Why something cannot be done; the message is for the person who asked, and says what to do. */
export class UserError extends Error {}
