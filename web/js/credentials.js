// Where a tab keeps the key to its story. A reload goes on with the tab's own story; a new tab goes on with the last
// one, unless another tab has it open (each tab holds a lock on the story that it shows).

const KEY = "curtain.session";
const lockName = (credentials) => `${KEY}.${credentials.session_id}`;
let release = () => {};

/** { session_id, resume_key } of the story to go on with, or null. */
export async function recall() {
  const own = read(sessionStorage);
  if (own) return own;
  const last = read(localStorage);
  return last && (await isFree(last)) ? last : null;
}

/** Keeps `credentials`; null forgets the story. */
export function remember(credentials) {
  for (const storage of [sessionStorage, localStorage]) {
    if (credentials) storage.setItem(KEY, JSON.stringify(credentials));
    else storage.removeItem(KEY);
  }
  release();
  if (credentials) hold(credentials);
}

/** Marks the story as open in this tab until the tab closes or forgets it. */
function hold(credentials) {
  const kept = new Promise((resolve) => (release = resolve));
  navigator.locks?.request(lockName(credentials), { ifAvailable: true }, () => kept);
}

async function isFree(credentials) {
  const { held } = (await navigator.locks?.query()) ?? { held: [] };
  return !held.some((lock) => lock.name === lockName(credentials));
}

function read(storage) {
  try {
    return JSON.parse(storage.getItem(KEY));
  } catch {
    return null; // not ours
  }
}
