/** Why nothing can be generated for a tunnel; the message is for the person who asked, and says what to do. */
export class SetupError extends Error {}
