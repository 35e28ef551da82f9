// The world's name, colours and speakers, laid over the page's own.

import { byId, setText } from "./dom.js";

const COLOURS = ["background", "surface", "text", "muted", "accent"];
let shown = null;

/** What the page knows of a world in a language; the nearest that it has, under the title that the house gives it. */
export function lookOf(config, { world, language, worlds }) {
  const known = config.worlds ?? [config.world];
  const inAnyLanguage = known.filter(({ name }) => name === world);
  const look = inAnyLanguage.find((one) => one.language === language) ?? inAnyLanguage[0];
  const told = worlds?.find((one) => one.name === world && one.language === language);
  if (look) return told && look.language !== language ? { ...look, title: told.title, tagline: "" } : look;
  return told ? { title: told.title, tagline: "", theme: {}, speakers: {} } : known[0];
}

export function applyWorld(look, storyTitle, language) {
  const key = JSON.stringify([look, storyTitle, language]);
  if (key === shown) return;
  shown = key;
  setText(byId("title"), look.title);
  setText(byId("tagline"), look.tagline ?? "");
  document.title = `${storyTitle || look.title} · Curtain`;
  for (const id of ["title", "tagline", "transcript", "question", "suggestions", "whispers"]) byId(id).lang = language;
  for (const name of COLOURS) {
    const colour = look.theme?.[name];
    if (/^#[0-9a-f]{6}$/i.test(colour)) document.documentElement.style.setProperty(`--world-${name}`, colour);
    else document.documentElement.style.removeProperty(`--world-${name}`);
  }
}
