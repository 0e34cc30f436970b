/** Markdown inside a line: code, bold, italic, struck, links. Text in, nodes out; HTML in the text stays text. */

import { make } from "./dom.js";

// Every repetition has an upper bound, so that no text makes a pattern run long; what is longer stays plain text.
const LONGEST = 1500;
const CODE = new RegExp("(`{1,8})(?!`)([^]{1," + LONGEST + "}?)(?<!`)\\1(?!`)", "y");
const LINK = /!?\[([^[\]\n]{1,500})\]\(\s{0,3}<?([^\s()<>]{1,2000}(?:\([^\s()<>]{0,500}\)[^\s()<>]{0,500})?)>?(?:\s{1,3}["'][^"'\n]{0,300}["'])?\s{0,3}\)/y;
const ADDRESS = /<?(https?:\/\/[^\s<>"'`]{1,2000})>?/y;
const ESCAPED = /\\([\\`*_{}[\]()#+.!|~<>-])/y;
const STRONG = new RegExp("(\\*\\*|__)(?=\\S)([^]{1," + LONGEST + "}?)(?<=\\S)\\1(?!\\1)", "y");
const EMPHASIS = new RegExp("([*_])(?=[^\\s*_])([^]{1," + LONGEST + "}?)(?<=[^\\s])\\1(?![*_\\w])", "y");
const STRUCK = new RegExp("~~(?=\\S)([^]{1," + LONGEST + "}?)(?<=\\S)~~", "y");
const SPECIAL = /[\\`*_~![<h]/g;
const DEEPEST = 6;

/** The address in its normal form if it is a whole http or https one, else null: no scripts, no data, no relative paths. */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** The nodes of one line or paragraph. linked: whether it stands in a link already; links do not nest. */
export function inlineNodes(text, { linked = false, depth = 0 } = {}) {
  const nodes = [];
  let plain = "";
  const put = (node) => {
    if (plain) nodes.push(document.createTextNode(plain));
    plain = "";
    nodes.push(node);
  };
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text);
    const stop = next === null ? text.length : next.index;
    plain += text.slice(at, stop);
    if (next === null) break;
    const found = depth < DEEPEST ? spanAt(text, stop, linked, depth) : null;
    if (found === null) plain += text[stop];
    else if (typeof found.node === "string") plain += found.node;
    else put(found.node);
    at = found === null ? stop + 1 : stop + found.length;
  }
  if (plain) nodes.push(document.createTextNode(plain));
  return nodes;
}

function spanAt(text, at, linked, depth) {
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const inside = (content, more = {}) => inlineNodes(content, { linked, depth: depth + 1, ...more });
  const first = text[at];
  const wordBefore = at > 0 && /[\p{L}\p{N}]/u.test(text[at - 1]);
  let found;
  if (first === "\\" && (found = match(ESCAPED))) return { node: found[1], length: found[0].length };
  if (first === "`" && (found = match(CODE))) return { node: make("code", {}, found[2].trim() || found[2]), length: found[0].length };
  if ((first === "[" || first === "!") && (found = match(LINK))) return linkFrom(found, linked, inside);
  if ((first === "h" || first === "<") && !wordBefore && !linked && (found = match(ADDRESS))) return bareLink(found);
  if (first === "_" && wordBefore) return null; // snake_case is a name, not emphasis
  if ((first === "*" || first === "_") && (found = match(STRONG))) return { node: make("strong", {}, ...inside(found[2])), length: found[0].length };
  if ((first === "*" || first === "_") && (found = match(EMPHASIS))) return { node: make("em", {}, ...inside(found[2])), length: found[0].length };
  if (first === "~" && (found = match(STRUCK))) return { node: make("del", {}, ...inside(found[1])), length: found[0].length };
  return null;
}

/** A link, or its text as it stands where its address is not safe. A picture becomes a link: the page loads nothing from elsewhere. */
function linkFrom(found, linked, inside) {
  const href = safeAddress(found[2]);
  if (href === null || linked) return { node: found[0], length: found[0].length };
  return { node: anchor(href, ...inside(found[1], { linked: true })), length: found[0].length };
}

function bareLink(found) {
  const bracketed = found[0].startsWith("<") && found[0].endsWith(">");
  const shown = bracketed ? found[1] : found[1].replace(/[.,;:!?)\]*_~]{1,20}$/, "");
  const href = safeAddress(shown);
  if (href === null) return null;
  if (!bracketed && found[0].startsWith("<")) return null;
  return { node: anchor(href, shown), length: bracketed ? found[0].length : shown.length };
}

function anchor(href, ...children) {
  return make("a", { href, title: href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}
