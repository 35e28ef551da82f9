"""The wire schema: what is refused and how, what a client reads, and that the published document is true."""

import json
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session.errors import Code, Refusal
from session.events import MAX_FRAME_BYTES, TurnDelta, parse_server_frame
from session.limits import limits
from session.requests import Say, error_frame, parse_client_frame
from tools.asyncapi import TARGET, render


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("hello", "not_json", "JSON"),
        ("[1, 2]", "not_json", "JSON"),
        ("null", "not_json", "JSON"),
        ("", "not_json", "JSON"),
        ("{}", "unknown_action", "hello"),
        ('{"action": "dance"}', "unknown_action", "say"),
        ('{"action": 7}', "unknown_action", "say"),
        ('{"action": "say", "turn_id": "t1"}', "invalid_frame", "'text'"),
        ('{"action": "say", "turn_id": "", "text": "x"}', "invalid_frame", "'turn_id'"),
        ('{"action": "say", "turn_id": "a b", "text": "x"}', "invalid_frame", "'turn_id'"),
        ('{"action": "say", "turn_id": "t", "text": 5}', "invalid_frame", "'text'"),
        ('{"action": "say", "turn_id": "t", "text": "x", "txet": "y"}', "invalid_frame", "'txet'"),
        ('{"action": "hello"}', "invalid_frame", "'v'"),
        ('{"action": "say", "turn_id": "t", "text": "\\ud800"}', "not_json", "JSON"),
        (json.dumps({"action": "say", "turn_id": "t", "text": "x" * 33_000}), "frame_too_large", "32 KB"),
    ],
)
def test_bad_frames_get_one_clear_error(body: str, code: str, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_client_frame(body)
    frame = error_frame(caught.value, "r1")
    assert frame.code == code
    assert says in frame.message + frame.hint
    assert frame.hint
    assert frame.request_id == "r1"


@given(st.text(max_size=200))
def test_whatever_arrives_is_a_frame_or_a_refusal(body: str) -> None:
    with pytest.raises(Refusal):
        parse_client_frame(body)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=4000))
def test_text_of_any_script_travels_unchanged_both_ways(text: str) -> None:
    said = parse_client_frame(json.dumps({"action": "say", "turn_id": "t", "text": text}))
    assert isinstance(said, Say)
    assert said.text == text
    delta = TurnDelta(turn_id="t", version=1, offset=len(text), text=text)
    assert parse_server_frame(delta.wire()) == delta
    assert len(delta.wire()) <= MAX_FRAME_BYTES


def test_the_protocol_names_every_limit_of_what_a_listener_sends() -> None:
    text = (TARGET.parent / "protocol.md").read_text(encoding="utf-8")
    table = text.partition("## Limits")[2].partition("## State")[0]
    named = (
        "say_chars",
        "answer_chars",
        "title_chars",
        "turn_chars",
        "turn_versions",
        "frames_per_s",
        "queue_places",
    )
    spent = ("session_turns", "daily_turns", "session_tokens", "daily_tokens", "address_sessions")
    found = set(re.findall(r"[\d,]*\d", table))
    assert {f"{getattr(limits(), name):,}" for name in (*named, *spent)} <= found
    assert f"kept for {limits().queue_s:.0f} s" in text
    assert f"forgotten {limits().session_days} days" in table
    codes = {code for code in get_args(Code) if code.startswith("too_many")}
    assert {"text_too_long", "turn_too_long", "house_full", *codes} <= set(re.findall(r"`(\w+)`", table))


def test_the_published_document_is_generated_from_the_schema() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run `make docs`"
