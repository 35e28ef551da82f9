"""Turns told once more: what the model is given to read, and what it goes on from."""

import pytest

from lambda_image.narrator import prompt
from session.events import TurnDelta, TurnDone
from session.inputs import Pinged, Skipped, Stopped
from session.record import LiveTurn, Turn
from tests.fakes import emerald_city
from tests.theatre import WORDS, Theatre


def turn(number: int, version: int, text: str, said: str = "I go on.", source: str = "model") -> Turn:
    return Turn.model_validate(
        {
            "number": number,
            "turn_id": f"t{number}",
            "version": version,
            "said": said,
            "text": text,
            "status": "completed",
            "finish_reason": "stop",
            "source": source,
            "created": 0.0,
        }
    )


def read(turns: list[Turn], number: int) -> list[tuple[str, str]]:
    """(said, told) pairs that the prompt of turn `number` holds, its own text last."""
    live = LiveTurn(turn_id=f"t{number}", number=number, said="And now?", seed=1, created=0.0)
    _, *told = prompt(Theatre().session, turns, live, emerald_city())
    texts = [message["content"] for message in told]
    assert [message["role"] for message in told] == ["user", "assistant"] * (len(told) // 2) + ["user"]
    return list(zip(texts[::2], [*texts[1::2], ""], strict=True))


def test_of_each_turn_the_newest_version_with_text_is_read() -> None:
    turns = [
        turn(1, 1, "Left."),
        turn(1, 2, "Right.", said="I turn right."),
        turn(1, 3, " \n", said="I turn back."),
        turn(2, 1, "A door."),
    ]
    assert read(turns, 3) == [("I turn right.", "Right."), ("I go on.", "A door."), ("And now?", "")]


def test_a_turn_told_anew_does_not_read_its_own_earlier_versions() -> None:
    turns = [turn(1, 1, "Left."), turn(2, 1, "A door."), turn(2, 2, "A gate.")]
    assert read(turns, 2) == [("I go on.", "Left."), ("And now?", "")]


def test_what_the_faq_answered_is_read_only_once_the_model_has_taken_it() -> None:
    faq = turn(1, 1, "A house of stories.", source="faq")
    assert read([faq], 2) == [("And now?", "")]
    assert read([faq, turn(1, 2, "")], 2) == [("And now?", "")]
    assert read([faq, turn(1, 2, "It is a green city.")], 2)[0] == ("I go on.", "It is a green city.")


def test_a_retry_keeps_the_first_version_and_tells_a_second() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    theatre.retell("retry")
    theatre.serve(holder="r2")
    versions = [(t.turn_id, t.version, t.number, t.status) for t in theatre.store.turns("s")]
    assert versions == [("opening", 1, 0, "completed"), ("opening", 2, 0, "completed")]
    assert theatre.narrator.read[0] == theatre.narrator.read[1]
    assert theatre.narrator.continued == ["", ""]
    assert theatre.spliced(version=2) == "".join(WORDS)


def test_continue_goes_on_from_the_text_and_the_client_splices_it_whole() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))

    def stop(index: int) -> None:
        if index == 3:
            theatre.runner.apply("s", Stopped(turn_id="opening"))

    theatre.narrator.before = stop
    theatre.narrator.delay = 0.1
    theatre.serve()
    kept = theatre.store.turns("s")[0].text
    assert kept
    assert "".join(WORDS).startswith(kept)
    theatre.narrator.before = lambda index: None
    theatre.retell("continue")
    theatre.serve(holder="r2")
    whole = kept + "".join(WORDS)
    assert theatre.narrator.continued == ["", kept]
    assert theatre.store.turns("s")[1].text == theatre.spliced(version=2) == whole
    assert theatre.posted(TurnDelta)[-1].offset >= len(kept)
    assert theatre.posted(TurnDone)[-1].length == len(whole)
    theatre.say("t")
    theatre.serve(holder="r3")
    assert theatre.narrator.read[-1][2] == {"role": "assistant", "content": whole}


def test_a_holder_that_dies_in_the_middle_leaves_what_was_read_and_the_story_goes_on() -> None:
    theatre = Theatre()
    theatre.runner.apply("s", Skipped(question_id=None))

    class Killed(BaseException):
        pass

    def die(index: int) -> None:
        if index == 3:
            raise Killed

    theatre.narrator.before, theatre.narrator.delay = die, 0.3
    with pytest.raises(Killed):
        theatre.serve()
    live = theatre.session.live
    assert live is not None
    assert live.text == theatre.spliced() == "".join(WORDS[:3])
    theatre.narrator.before = lambda index: None
    theatre.clock.now += 100  # the seat expires
    theatre.runner.apply("s", Pinged(turn_id="opening"))
    done = theatre.posted(TurnDone)[-1]
    assert (done.status, done.finish_reason, done.length) == ("incomplete", "lost", len(live.text))
    theatre.retell("continue")
    assert theatre.serve(holder="r2") == "released"
    assert theatre.spliced(version=2) == live.text + "".join(WORDS)


def test_a_piece_without_text_is_nothing_to_store() -> None:
    theatre = Theatre()
    theatre.narrator.words = ["", "A door.", ""]
    theatre.runner.apply("s", Skipped(question_id=None))
    theatre.serve()
    assert [delta.text for delta in theatre.posted(TurnDelta)] == ["A door."]
