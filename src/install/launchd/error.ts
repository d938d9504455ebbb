/** Why something cannot be installed or taken away under launchd; the message is for the person who asked, and says what to do. */
export class LaunchdError extends Error {}
