/** One word for sh, whatever is in it (POSIX, Shell Command Language, 2.2.2). */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
