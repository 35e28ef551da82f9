"""Invokes of the model function that need no session."""

import time
from types import SimpleNamespace

import pytest

from lambda_image import direct
from lambda_image.tasks import Threads
from lambda_image.waking import SleepingModel
from tests.theatre import WORDS, Parrot, Weights

EVENT = {"kind": "tell", "messages": [{"role": "user", "content": "I knock."}], "seed": 3, "max_tokens": 9}


def asleep(parrot: Parrot) -> SleepingModel:
    return SleepingModel(lambda: parrot, Weights(), 0.0, tasks=Threads())


def test_it_wakes_replies_and_tells_what_that_took() -> None:
    parrot = Parrot()
    told = direct.tell(asleep(parrot), EVENT, deadline=time.monotonic() + 60)
    assert told["text"] == "".join(WORDS)
    assert told["finish_reason"] == "stop"
    assert told["metrics"]["prompt_tokens"] == 9
    assert parrot.read == [[{"role": "user", "content": "I knock."}]]


def test_what_was_told_until_shortly_before_the_deadline_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    parrot, now = Parrot(), [0.0]

    def before(index: int) -> None:
        now[0] = index * 10.0

    parrot.before = before
    monkeypatch.setattr(direct, "time", SimpleNamespace(monotonic=lambda: now[0]))
    told = direct.tell(asleep(parrot), EVENT, deadline=20.0 + direct.MARGIN_S / 2)
    assert told["finish_reason"] == "cancelled"
    assert told["text"] == "".join(WORDS[:2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": []}, "^messages: List should have at least 1 item"),
        ({"messages": [{"role": "narrator", "content": ""}]}, r"^messages\.0\.role: "),
        ({"seed": -1}, "^seed: "),
        ({"max_tokens": 5000}, "^max_tokens: "),
        ({"temperature": 0}, "^temperature: "),
    ],
)
def test_a_bad_event_is_refused_with_an_example_before_anything_is_loaded(
    change: dict[str, object], message: str
) -> None:
    def load() -> Parrot:
        raise AssertionError("loaded")

    model = SleepingModel(load, Weights(), 0.0, tasks=Threads())
    with pytest.raises(ValueError, match=message) as refused:
        direct.tell(model, EVENT | change, deadline=time.monotonic() + 60)
    assert '"kind": "tell"' in str(refused.value)
