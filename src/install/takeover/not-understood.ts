/** What a command does cannot be known for sure without running it. */
export class NotUnderstood extends Error {
  constructor(message: string) {
    super(withoutPasswords(message));
  }
}

/** Text of an old command, as it may be printed: people write passwords into units and scripts. */
export function withoutPasswords(text: string): string {
  return text
    .replaceAll(/(\bsshpass\b(?:\s+-[evV])*\s+-p\s*)(?:'[^']*'?|"[^"]*"?|\S+)/g, '$1***')
    .replaceAll(/(\b\w*(?:PASS|SECRET|PW)\w*=)(?:'[^']*'?|"[^"]*"?|[^\s;'"]+)/gi, '$1***');
}
