// The listener's stories, in this browser: { session_id, resume_key, title, world, language, opened }, last opened
// first. A reload goes on with the tab's own story; a new tab goes on with the last one, unless another tab has it
// open (each tab holds a lock on the story that it shows). Keys to stories are in localStorage and nowhere else.

const KEY = "curtain.stories";
const HERE = "curtain.here"; // in sessionStorage: the id of this tab's story
const MOST = 50;
const lockName = (id) => `${KEY}.${id}`;
let release = () => {};
let memory = "[]"; // where the browser keeps nothing, a story lasts as long as its page

/** All stories, the last opened first. */
export function stories() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? memory);
    return Array.isArray(kept) ? kept : [];
  } catch {
    return JSON.parse(memory);
  }
}

/** The story to go on with, or null. */
export async function recall() {
  const here = attempt(() => sessionStorage.getItem(HERE));
  const all = stories();
  let story = all.find(({ session_id }) => session_id === here) ?? null;
  if (!story && all.length && (await isFree(all[0].session_id))) story = all[0];
  if (story) hold(story.session_id);
  return story;
}

/** Keeps a story (or what is new of it), and marks it as the one in this tab. */
export function remember(story, now) {
  const others = stories().filter(({ session_id }) => session_id !== story.session_id);
  write([{ ...story, opened: now }, ...others]);
  attempt(() => sessionStorage.setItem(HERE, story.session_id));
  hold(story.session_id);
}

export function retitle(id, title) {
  write(stories().map((story) => (story.session_id === id ? { ...story, title } : story)));
}

export function forget(id) {
  write(stories().filter(({ session_id }) => session_id !== id));
  if (attempt(() => sessionStorage.getItem(HERE)) === id) leave();
}

/** This tab shows no story any more; the story stays. */
export function leave() {
  attempt(() => sessionStorage.removeItem(HERE));
  release();
}

function write(list) {
  memory = JSON.stringify(list.slice(0, MOST));
  attempt(() => localStorage.setItem(KEY, memory));
}

/** Marks the story as open in this tab until the tab closes or leaves it. */
function hold(id) {
  release();
  const kept = new Promise((resolve) => (release = resolve));
  navigator.locks?.request(lockName(id), { ifAvailable: true }, () => kept);
}

async function isFree(id) {
  const { held } = (await navigator.locks?.query()) ?? { held: [] };
  return !held.some((lock) => lock.name === lockName(id));
}

function attempt(action) {
  try {
    return action();
  } catch {
    return null; // the browser keeps nothing for this page
  }
}
