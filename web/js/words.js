// What the page says of numbers and states. Pure functions from the wire's values to English.

const STATES = {
  unknown: "",
  cold: "The narrator is asleep",
  resting: "The narrator is resting",
  starting: "The narrator is being called",
  loading: "The narrator is waking",
  ready: "The narrator is awake",
  full: "The house is full",
  failed: "The narrator could not be woken",
};

const ENDINGS = {
  length: "ended at its longest",
  deadline: "cut short: the model's time was up",
  lost: "cut short: the model was lost on the way",
  gone: "cut short: nobody was listening",
  loop: "ended: it had begun to repeat itself",
  house_full: "the house was full: no place came free",
  daily_cap: "the narrator had talked enough for today",
};

const STATUSES = { stopped: "stopped by you", failed: "failed", incomplete: "cut short" };

// What to do about a refusal, for someone who has buttons instead of frames.
const HINTS = {
  turn_running: "Wait for it to end, or stop it.",
  model_failed: "Press Try again, and say it once more.",
  text_too_long: "Say it in two parts.",
  internal: "Try it once more.",
  unsupported_version: "Load this page again to get its newest version.",
  not_last_turn: "The page shows it now as it is.",
  nothing_to_continue: "You can have it told again.",
  not_from_faq: "You can have it told again.",
  turn_too_long: "Say what you do next.",
  too_many_sessions: "Go on with one of yours (under Stories), or come back tomorrow.",
  too_many_frames: "Wait a second, and do it again.",
  too_many_turns: "Keep a copy of it (under Stories), and begin another.",
  too_many_tokens: "Keep a copy of it (under Stories), and begin another.",
  house_full: "Try it again in some minutes.",
};

/** One who rests for no reason was awake just now, and comes when something is said. */
export const stateText = ({ state, message }) =>
  state === "resting" && !message ? "The narrator waits for you" : (STATES[state] ?? state);

export const hintText = ({ code, hint }) => HINTS[code] ?? hint;

/** `share` of the model's bytes that are read, 0 to 1; null while that is not known. */
export function share({ state, loaded_bytes, total_bytes }) {
  return state === "loading" && total_bytes ? Math.min(1, loaded_bytes / total_bytes) : null;
}

export function percentText(model) {
  const loaded = share(model);
  return loaded === null ? "" : `${Math.floor(loaded * 100)} %`;
}

/** "3.1 of 6.0 MB read · about 4 s to go"; before the first byte what earlier starts let expect. */
export function progressText(model) {
  const eta = model.eta_s == null ? "" : `${about(model.eta_s)} to go`;
  if (share(model) !== null) {
    return [`${bytes(model.loaded_bytes, model.total_bytes)} read`, eta].filter(Boolean).join(" · ");
  }
  return model.message ?? (model.state === "starting" && eta ? `${eta}, by earlier evenings` : "");
}

/** "The house is full — place 2, about 40 s" */
export function queueText({ place, eta_s }) {
  return `The house is full — place ${place}${eta_s == null ? "" : `, ${about(eta_s)}`}`;
}

/** What the label of a FAQ answer says, and what the answer saved. */
export function houseText({ saved }) {
  const label = "Answered by the house, without waking the model";
  if (!saved?.seconds) return label;
  const energy = saved.energy_wh >= 0.0005 ? `${saved.energy_wh.toFixed(saved.energy_wh < 0.1 ? 3 : 1)} Wh` : "";
  const amounts = [seconds(saved.seconds), saved.cost_usd && dollars(saved.cost_usd), energy].filter(Boolean);
  return `${label} · saved ${amounts.join(", ")}`;
}

/** When the next try is due, `wait` ms from now; "" if that is soon. */
export function againText(wait) {
  const minutes = Math.ceil(wait / 60_000);
  return minutes > 1 ? `This page tries again by itself in about ${minutes} minutes.` : "";
}

/** "today", "yesterday", "5 days ago" */
export function ageText(age_ms) {
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.floor(age_ms / 86_400_000), "day");
}

/** A language in its own words: "Deutsch". */
export function languageName(code) {
  return new Intl.DisplayNames([code], { type: "language" }).of(code);
}

/** "TTFT 0.4 s · 92 tokens · 61 tok/s · 1.9 s · $0.0003 on Lambda" */
export function metricsText({ metrics, usage }) {
  if (!metrics) return "";
  const tokens = usage?.completion_tokens;
  return [
    metrics.ttft_s && `TTFT ${seconds(metrics.ttft_s)}`,
    tokens && `${tokens} ${tokens === 1 ? "token" : "tokens"}`,
    metrics.decode_tokens_per_s && `${number(metrics.decode_tokens_per_s)} tok/s`,
    metrics.total_s && seconds(metrics.total_s),
    metrics.cost_usd && `${dollars(metrics.cost_usd)} on Lambda`,
    metrics.cold_start_s != null && `cold start ${seconds(metrics.cold_start_s)}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** How a turn ended, where that is worth a word: "stopped by you", "cut short: …", or "". */
export function endingText({ status, reason }) {
  return ENDINGS[reason] ?? STATUSES[status] ?? "";
}

export function announceDone(turn) {
  if (turn.source === "faq") return "Answered by the house.";
  return turn.status === "completed" ? "Reply complete." : `Reply ${STATUSES[turn.status]}.`;
}

/** A speaker's name: the world's word for it, or else its id made readable. */
export function speakerName(id, speakers = {}) {
  return speakers[id] ?? id.replace(/[-_]+/g, " ").replace(/\b\w/g, (letter) => letter.toUpperCase());
}

const about = (value) => `about ${seconds(Math.max(1, Math.round(value)))}`;

function seconds(value) {
  if (value < 0.095) return `${Math.ceil(value * 1000)} ms`;
  if (value < 99.5) return `${number(value)} s`;
  const whole = Math.round(value);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

const number = (value) => (value < 10 ? value.toFixed(1).replace(/\.0$/, "") : String(Math.round(value)));

const dollars = (value) => (value < 0.00005 ? "under $0.0001" : `$${value.toFixed(value < 0.01 ? 4 : 2)}`);

function bytes(loaded, total) {
  const [unit, size] = total >= 1e9 ? ["GB", 1e9] : ["MB", 1e6];
  return `${(loaded / size).toFixed(1)} of ${(total / size).toFixed(1)} ${unit}`;
}
