/** A template with each line `@NAME@` replaced by what `parts` has under that name, and what is inside a line too. */
export function fill(template, parts) {
  return template.replaceAll(/@([A-Z-]+)@/g, (_, name) => {
    if (parts[name] === undefined) throw new Error(`a template of the manual wants ${name}`);
    return parts[name];
  });
}

/** Text as it is to be read. What a typesetter would make nicer (quotes, hyphens) stays what can be typed and copied. */
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

/** Sentences, in which `code` is bold, as one paragraph: a line for each sentence, and none too long for the checkers. */
export function prose(text) {
  const marked = text
    .trim()
    .split(/`([^`]+)`/)
    .map((piece, index) => (index % 2 === 1 ? bold(piece) : roff(piece)))
    .join('');
  const lines = marked.replaceAll(/(?<=[a-zR)]\.) (?=[A-Z])/g, '\n').match(/.{1,78}(?:\s|$)/g) ?? [];
  return lines.map((line) => noRequest(line.trim())).join('\n');
}

/** A line of text that begins like a request would be taken for one. */
function noRequest(line) {
  return line.replace(/^(?=[.'])/, '\\&');
}

export function bold(text) {
  return `\\fB${roff(text)}\\fR`;
}

export function italic(text) {
  return `\\fI${roff(text)}\\fR`;
}

/** Lines that stay as they are. */
export function verbatim(lines) {
  return ['.RS 4', '.EX', ...lines.map((line) => noRequest(roff(line))), '.EE', '.RE'];
}

/** An entry of a list: what it is about, each on a line of its own, and what is to be said. */
export function entry(tags, text) {
  return ['.TP', tags.join('\n.TQ\n'), text === '' ? '\\&' : text];
}
