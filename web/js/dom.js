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
