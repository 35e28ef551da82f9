// The world's name and colours, laid over the page's own.

import { byId, setText } from "./dom.js";

const COLOURS = ["background", "surface", "text", "muted", "accent"];

export function applyWorld({ title, tagline, theme }) {
  setText(byId("title"), title);
  setText(byId("tagline"), tagline);
  document.title = `${title} · Curtain`;
  for (const name of COLOURS) {
    const colour = theme?.[name];
    if (/^#[0-9a-f]{6}$/i.test(colour)) document.documentElement.style.setProperty(`--world-${name}`, colour);
  }
}
