"""Every refusal that a listener can meet: a code, what happened, and what to do next."""

from typing import Literal, get_args

Code = Literal[
    "not_json",
    "unknown_action",
    "invalid_frame",
    "frame_too_large",
    "unsupported_version",
    "no_session",
    "already_greeted",
    "unknown_session",
    "unknown_world",
    "unknown_model",
    "unknown_question",
    "unknown_choice",
    "already_answered",
    "prologue_over",
    "story_not_begun",
    "empty_text",
    "text_too_long",
    "turn_running",
    "model_failed",
    "not_last_turn",
    "nothing_to_continue",
    "not_from_faq",
    "turn_too_long",
    "too_many_versions",
    "no_subject",
    "house_full",
    "too_many_sessions",
    "too_many_frames",
    "too_many_turns",
    "too_many_tokens",
    "too_many_turns_today",
    "too_many_tokens_today",
    "daily_cap",
    "internal",
]

_TEXTS: dict[Code, tuple[str, str]] = {
    "not_json": (
        "This frame is not a JSON object.",
        'Send one JSON object per message, such as {"action": "hello", "v": 1}.',
    ),
    "unknown_action": ("This frame's action is not known.", "See docs/protocol.md for the actions."),
    "invalid_frame": ("A field is missing or wrong.", "See docs/protocol.md for the fields of each action."),
    "frame_too_large": ("This frame is larger than 32 KB.", "Send a shorter text."),
    "unsupported_version": ("This protocol version is not spoken here.", "Send hello with v = 1."),
    "no_session": ("This connection has no session.", 'Say hello first: {"action": "hello", "v": 1}.'),
    "already_greeted": (
        "This connection already has another session.",
        "Open a new connection for another session.",
    ),
    "unknown_session": (
        "There is no such session, or the resume key does not fit.",
        "Say hello without session_id to begin a new story.",
    ),
    "unknown_world": ("There is no such world.", "Leave `world` out to get the default one."),
    "unknown_model": ("There is no such model.", "Leave `model` out to get the default one."),
    "unknown_question": (
        "The prologue asks no such question now.",
        "Answer the question that was asked last.",
    ),
    "unknown_choice": (
        "The question has no such choice, or takes no free text.",
        "Send one of its choices, or `text` where free_text is true.",
    ),
    "already_answered": ("That question was answered before.", "Go on with the next one."),
    "prologue_over": ("The prologue is over.", "Go on with `say`."),
    "story_not_begun": (
        "The story has not begun: the narrator is still behind the curtain.",
        "Answer the open question, or skip; questions about Curtain itself are answered at any time.",
    ),
    "empty_text": ("The text is empty.", "Say something, if only a word."),
    "text_too_long": ("The text is too long.", "Keep it within the limit."),
    "turn_running": ("A turn is still running.", "Wait for turn.done, or send stop with its turn_id."),
    "model_failed": ("The model could not be woken.", "Send wake to try again."),
    "not_last_turn": (
        "That is not the last turn, or not its newest version.",
        "Only the last turn can be told anew, continued, changed or undone; hello tells the story as it is.",
    ),
    "nothing_to_continue": ("That turn did not break off.", "Use retry for another version of it."),
    "not_from_faq": ("That turn was not answered from the FAQ.", "Use retry for another version of it."),
    "turn_too_long": ("That turn is as long as a turn can be.", "Go on with say."),
    "too_many_versions": ("That turn has as many versions as a turn can have.", "Go on with say."),
    "no_subject": (
        "Stories can be listed only where you are signed in.",
        "Keep each story's session_id and resume_key: they open it anywhere.",
    ),
    "house_full": ("Every place is taken, and so is the queue.", "Try again in some minutes."),
    "too_many_sessions": (
        "Too many stories were begun from this address today.",
        "Go on with one of them (hello with session_id and resume_key), or come back tomorrow.",
    ),
    "too_many_frames": ("Frames come too fast.", "Wait a second and send it again."),
    "too_many_turns": ("This story has as many turns as a story can have.", "Export it and begin another."),
    "too_many_tokens": ("This story is as long as a story can be.", "Export it and begin another."),
    "too_many_turns_today": ("This story has had its turns for today.", "It goes on tomorrow (UTC)."),
    "too_many_tokens_today": ("This story is long enough for today.", "It goes on tomorrow (UTC)."),
    "daily_cap": (
        "The narrator has talked enough for today.",
        "Questions about Curtain are answered all the same; the story goes on when the narrator is back.",
    ),
    "internal": ("Something went wrong on the server.", "Send the frame again; it is safe to repeat."),
}
assert set(_TEXTS) == set(get_args(Code))


class Refusal(Exception):
    """A request that is turned down. The session goes on unharmed.

    Args:
        code: which refusal.
        message: says more than the standard text (what was found, which limit).
    """

    def __init__(self, code: Code, message: str | None = None) -> None:
        self.code: Code = code
        standard, self.hint = _TEXTS[code]
        self.message = message or standard
        super().__init__(f"{code}: {self.message}")
