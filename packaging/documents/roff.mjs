/** A template with each `@NAME@` replaced by the part of that name. */
export function fill(template, parts) {
  return template.replaceAll(/@([A-Z-]+)@/g, (_, name) => {
    if (parts[name] === undefined) throw new Error(`a template of the manual has the unknown part ${name}`);
    return parts[name];
  });
}

/** Escapes text for roff. Quotes and hyphens stay as typed, so that they can be copied. */
export function roff(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll(/[^\0-\x7f]/gu, (character) => `\\[u${character.codePointAt(0).toString(16).toUpperCase()}]`);
}

/** A paragraph in which `code` is bold: one line for each sentence, wrapped for the checkers of manual pages. */
export function prose(text) {
  const marked = text
    .trim()
    .split(/`([^`]+)`/)
    .map((piece, index) => (index % 2 === 1 ? bold(piece) : roff(piece)))
    .join('');
  const lines = marked.replaceAll(/(?<=[a-zR)]\.) (?=[A-Z])/g, '\n').match(/.{1,78}(?:\s|$)/g) ?? [];
  return lines.map((line) => noRequest(line.trim())).join('\n');
}

/** Protects a line of text that begins like a request. */
function noRequest(line) {
  return line.replace(/^(?=[.'])/, '\\&');
}

export function bold(text) {
  return `\\fB${roff(text)}\\fR`;
}

export function italic(text) {
  return `\\fI${roff(text)}\\fR`;
}

/** Preformatted lines. */
export function verbatim(lines) {
  return ['.RS 4', '.EX', ...lines.map((line) => noRequest(roff(line))), '.EE', '.RE'];
}

/** An entry of a list: its terms, each on a line of its own, and its text. */
export function entry(tags, text) {
  return ['.TP', tags.join('\n.TQ\n'), text === '' ? '\\&' : text];
}
