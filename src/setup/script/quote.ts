/** A function of sh that prints these lines: in a quoted here-document nothing is special but its end. */
export function printer(name: string, text: string): string {
  return `${name}() {\n  cat <<'END_OF_TEXT'\n${text}\nEND_OF_TEXT\n}`;
}

/** A comment of sh: text that came from elsewhere has no line breaks by now. */
export function comment(lines: readonly string[]): string {
  return lines.map((line) => `# ${line}`.trimEnd()).join('\n');
}
