/** A function of sh that prints a text: in a quoted here-document only the end marker is special. */
export function printer(name: string, text: string): string {
  return `${name}() {\n  cat <<'END_OF_TEXT'\n${text}\nEND_OF_TEXT\n}`;
}

/** A comment of sh. Its text has no line breaks: values from outside were checked before. */
export function comment(lines: readonly string[]): string {
  return lines.map((line) => `# ${line}`.trimEnd()).join('\n');
}
