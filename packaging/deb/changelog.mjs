import { MAINTAINER } from './control.mjs';

/** CHANGELOG.md in Debian's format. The unreleased entries are those of this version. */
export function debianChangelog(markdown, { version, date }) {
  const [, ...sections] = markdown.split(/^## /m);
  return sections
    .map((section) => {
      const [heading, ...lines] = section.trim().split('\n');
      const released = /^\[?(\d[^\s\]]*)\]?(?:\D+(\d{4}-\d\d-\d\d))?/.exec(heading);
      const when = released?.[2] === undefined ? date : new Date(released[2]);
      const text = lines.join('\n').trim().split(/^- /m).slice(1).map(entry).join('\n');
      const stamp = when.toUTCString().replace('GMT', '+0000');
      return `tunneld (${released?.[1] ?? version}) stable; urgency=medium\n\n${text}\n\n -- ${MAINTAINER}  ${stamp}\n`;
    })
    .join('\n');
}

/** The line length of Debian's tools. */
function entry(text) {
  const lines = text.replaceAll(/\s+/g, ' ').match(/.{1,74}(?:\s|$)/g) ?? [];
  return lines.map((line, index) => `${index === 0 ? '  * ' : '    '}${line.trim()}`).join('\n');
}
