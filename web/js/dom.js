// Building elements. Text only ever becomes text: nothing here parses HTML.

export const byId = (id) => document.getElementById(id);

/** element("p", { className: "x" }, "text", child, …) */
export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** Sets text only where it changes, so that nothing is announced or painted twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Hands the reader a file. */
export function download({ format, text }, title) {
  const [type, ending] = format === "json" ? ["application/json", "json"] : ["text/markdown", "md"];
  const href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  element("a", { href, download: `${title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "")}.${ending}` }).click();
  URL.revokeObjectURL(href);
}

/** A turn's id, which nobody has used before. */
export function newTurnId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return `t-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
