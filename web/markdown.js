/** Markdown in blocks: paragraphs, headings, lists, quotes, code, tables. It grows as an answer streams in. */

import { make } from "./dom.js";
import { inlineNodes } from "./inline.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(\S.*)$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(\S.*)?$/;
const QUOTE = /^ {0,3}> ?/;
const TABLE_LINE = /^[ \t|:-]*-[ \t|:-]*$/;
const DEEPEST = 6; // lists and quotes nested deeper are shown as plain paragraphs

/** Shows a growing text in a container; blocks that did not change keep their nodes, and so a reader's selection. */
export class MarkdownView {
  #container;
  #sources = [];

  constructor(container) {
    this.#container = container;
  }

  /** Show this text, whatever was shown before. */
  show(text) {
    const blocks = blocksOf(text.split(/\r\n?|\n/));
    const sources = blocks.map((block) => `${block.kind}\n${block.lines.join("\n")}`);
    let same = 0;
    while (same < sources.length && sources[same] === this.#sources[same]) same += 1;
    while (this.#container.childNodes.length > same) this.#container.lastChild.remove();
    this.#container.append(...blocks.slice(same).map((block) => nodeOf(block, 0)));
    this.#sources = sources;
  }
}

/** Lines, cut into blocks of one kind each. */
export function blocksOf(lines) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const kind = kindAt(lines, at);
    const end = ENDS[kind](lines, at);
    blocks.push({ kind, lines: lines.slice(at, end) });
    at = end;
  }
  return blocks;
}

function kindAt(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return "code";
  if (HEADING.test(line)) return "heading";
  if (RULE.test(line)) return "rule";
  if (QUOTE.test(line)) return "quote";
  if (ITEM.test(line)) return "list";
  const below = lines[at + 1];
  if (line.includes("|") && below?.includes("|") && TABLE_LINE.test(below)) return "table";
  return "paragraph";
}

const ENDS = {
  heading: (lines, at) => at + 1,
  rule: (lines, at) => at + 1,
  quote: (lines, at) => firstAfter(lines, at, (line) => !QUOTE.test(line)),
  table: (lines, at) => firstAfter(lines, at + 1, (line) => !line.includes("|")),
  paragraph: (lines, at) =>
    firstAfter(lines, at, (line, index) => line.trim() === "" || kindAt(lines, index) !== "paragraph"),
  code: (lines, at) => {
    const mark = FENCE.exec(lines[at])[1];
    const closes = (line) => line.trim().length >= mark.length && line.trim() === mark[0].repeat(line.trim().length);
    return Math.min(lines.length, firstAfter(lines, at, closes) + 1);
  },
  list: (lines, at) => {
    const ordered = isOrdered(lines[at]);
    let gap = false;
    return firstAfter(lines, at, (line) => {
      if (line.trim() === "") {
        gap = true;
        return false;
      }
      const goesOn = ITEM.test(line) ? /^\s/.test(line) || isOrdered(line) === ordered : /^ {2,}|^\t/.test(line) || !gap;
      gap = false;
      return !goesOn || (!/^\s/.test(line) && (FENCE.test(line) || HEADING.test(line) || RULE.test(line)));
    });
  },
};

function firstAfter(lines, at, ends) {
  let index = at + 1;
  while (index < lines.length && !ends(lines[index], index)) index += 1;
  return index;
}

function isOrdered(line) {
  return /^\s*\d/.test(line);
}

function nodeOf({ kind, lines }, depth) {
  if (depth > DEEPEST) return paragraph(lines);
  return NODES[kind](lines, depth);
}

function paragraph(lines) {
  return make("p", { dir: "auto" }, ...inlineNodes(lines.join("\n").trim()));
}

const NODES = {
  paragraph,
  rule: () => make("hr"),
  heading: ([line]) => {
    const [, marks, words] = HEADING.exec(line);
    // The page's own headings are h1 to h3, so an answer's begin below them.
    return make(`h${Math.min(6, marks.length + 3)}`, { dir: "auto" }, ...inlineNodes(words.trim().replace(/ #{1,6}$/, "")));
  },
  quote: (lines, depth) => {
    const inner = blocksOf(lines.map((line) => line.replace(QUOTE, "")));
    return make("blockquote", {}, ...inner.map((block) => nodeOf(block, depth + 1)));
  },
  code: (lines) => {
    const language = FENCE.exec(lines[0])[2];
    const closed = lines.length > 1 && /^\s*(`{3,}|~{3,})\s*$/.test(lines.at(-1));
    const text = lines.slice(1, closed ? -1 : undefined).join("\n");
    return make("pre", { tabindex: 0, role: "group", "aria-label": language ? `Code, ${language}` : "Code" }, make("code", {}, text));
  },
  table: (lines, depth) => {
    const cells = (line, tag) => cellsOf(line).map((cell) => make(tag, { dir: "auto" }, ...inlineNodes(cell, { depth })));
    const head = make("thead", {}, make("tr", {}, ...cells(lines[0], "th")));
    const rows = lines.slice(2).map((line) => make("tr", {}, ...cells(line, "td")));
    return make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" }, make("table", {}, head, make("tbody", {}, ...rows)));
  },
  list: (lines, depth) => {
    const start = isOrdered(lines[0]) ? Number.parseInt(lines[0].trim(), 10) : null;
    const items = itemsOf(lines).map((item) => make("li", { dir: "auto" }, ...itemNodes(item, depth)));
    return make(start === null ? "ul" : "ol", { start: start === 1 ? null : start }, ...items);
  },
};

function cellsOf(line) {
  const bare = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return bare.split(/(?<!\\)\|/).map((cell) => cell.trim());
}

/** The lines of each item, without marker and indentation. */
function itemsOf(lines) {
  const outermost = ITEM.exec(lines[0])[1].length;
  const items = [];
  let margin = 0;
  for (const line of lines) {
    const found = ITEM.exec(line);
    if (found !== null && found[1].length <= outermost + 1) {
      margin = found[1].length + found[2].length + 1;
      items.push([found[3] ?? ""]);
    } else {
      const indent = line.length - line.trimStart().length;
      items.at(-1).push(line.slice(Math.min(indent, margin)));
    }
  }
  return items;
}

/** A short item is text in its bullet, not a paragraph in it. */
function itemNodes(lines, depth) {
  const [first, ...rest] = blocksOf(lines);
  if (first === undefined) return [];
  const lead = first.kind === "paragraph" ? inlineNodes(first.lines.join("\n").trim()) : [nodeOf(first, depth + 1)];
  return [...lead, ...rest.map((block) => nodeOf(block, depth + 1))];
}
