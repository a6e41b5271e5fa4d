/* Tables and what they are filled with. */
import { h } from "./building.js";
import { plain } from "./texts.js";

/** A table whose rows stay where they are: cells get new texts, so that focus and selection stay too. */
export class Table {
  /** columns: {title, text(row)} or {title, build(get, key), refresh(element, row)}; key(row) is a row's name. */
  constructor(columns, key, empty) {
    this.columns = columns;
    this.key = key;
    this.rows = new Map();
    this.body = h("tbody");
    this.none = h("p", { class: "quiet", text: empty });
    const titles = columns.map((each) => h("th", { class: each.class ?? "", scope: "col", text: each.title }));
    this.table = h("table", { class: "rows" }, h("thead", {}, h("tr", {}, ...titles)), this.body);
    this.element = h("div", { class: "scroll" }, this.table, this.none);
  }
  update(rows) {
    const gone = new Set(this.rows.keys());
    let before = null;
    for (const row of rows) {
      const key = this.key(row);
      gone.delete(key);
      const known = this.rows.get(key) ?? this.add(key, row);
      known.row = row;
      for (const [at, column] of this.columns.entries()) this.fill(known.cells[at], column, row);
      const place = before ? before.nextSibling : this.body.firstChild;
      if (place !== known.line) this.body.insertBefore(known.line, place);
      before = known.line;
    }
    for (const key of gone) {
      this.rows.get(key).line.remove();
      this.rows.delete(key);
    }
    this.none.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
  }
  add(key, row) {
    const known = { row, cells: [] };
    known.cells = this.columns.map((column) => {
      const label = column.title ? { "data-label": column.title } : {};
      const cell = h("td", { class: column.class ?? "", ...label });
      if (column.build) cell.append(...[column.build(() => known.row, key)].flat());
      return cell;
    });
    known.line = h("tr", {}, ...known.cells);
    this.rows.set(key, known);
    return known;
  }
  fill(cell, column, row) {
    if (column.refresh) column.refresh(cell, row);
    if (column.build) return;
    const text = plain(column.text(row));
    if (cell.textContent !== text) cell.textContent = text;
    cell.className = [column.class ?? "", column.style?.(row) ?? "", text === "" ? "empty" : ""].join(" ").trim();
  }
}
