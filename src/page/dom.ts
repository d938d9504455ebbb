/** Text from the daemon gets into the page as text alone: nothing here understands HTML. */
export type Child = Node | string;

export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | number>>,
  ...children: readonly Node[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

/** Changes nothing where nothing has changed: a selection stays, and a screen reader is silent. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(target: Element, name: string, value: string): void {
  if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}

/** A table that scrolls where it is too wide; null rows are no rows. */
export interface Table {
  readonly root: HTMLElement;
  /** Shows these rows; without any, the text for that. */
  update(rows: readonly (readonly string[])[]): void;
}

export function table(label: string, columns: readonly string[], empty: string): Table {
  const body = element('tbody');
  const head = element('tr', {}, ...columns.map((column) => element('th', { scope: 'col' }, column)));
  const scroller = element(
    'div',
    { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': label },
    element('table', {}, element('thead', {}, head), body),
  );
  const nothing = element('p', { class: 'empty' }, empty);
  return {
    root: element('div', {}, scroller, nothing),
    update: (rows) => {
      scroller.hidden = rows.length === 0;
      nothing.hidden = rows.length > 0;
      while (body.rows.length > rows.length) body.deleteRow(-1);
      for (const [index, cells] of rows.entries()) {
        const row = body.rows[index] ?? body.insertRow();
        while (row.cells.length < cells.length) row.insertCell();
        for (const [column, text] of cells.entries()) setText(row.cells[column]!, text);
      }
    },
  };
}

/** Shows these texts as the items of a list, which is hidden where there is none. */
export function setItems(list: HTMLElement, items: readonly Child[][]): void {
  list.hidden = items.length === 0;
  list.replaceChildren(...items.map((children) => element('li', {}, ...children)));
}
