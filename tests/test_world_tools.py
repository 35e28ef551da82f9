"""`python -m prologue`: checking a world, playing it in a terminal, and the schema that editors use."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from prologue.__main__ import SCHEMA_FILE, json_schema
from prologue.world import WORLDS, load_world
from tests.house import REPOSITORY

SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
FILES = sorted(WORLDS.glob("*/world*.yaml"))
PLAIN = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "100"}


def prologue(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prologue", *arguments],
        cwd=REPOSITORY,
        env=PLAIN,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# ---- schema -----------------------------------------------------------------------------------------------


def test_the_published_schema_is_current_and_what_the_command_prints() -> None:
    assert SCHEMA_FILE.read_text("utf-8") == json_schema() == prologue("schema").stdout
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_shipped_worlds_are_valid_for_another_reader(path: Path) -> None:
    source = path.read_text("utf-8")
    assert list(Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(source))) == []
    modeline = re.match(r"# yaml-language-server: \$schema=(\S+)\n", source)
    assert modeline is not None
    assert (path.parent / modeline[1]).resolve() == SCHEMA_FILE


def test_the_schema_finds_what_an_editor_should_underline() -> None:
    world = yaml.safe_load(FILES[0].read_text("utf-8"))
    world["theme"]["accent"] = "green"
    world["opening"] = world["opening"][:5]
    world["questions"][0]["choices"][0]["fakt"] = "x"
    del world["lulls"]
    found = Draft202012Validator(SCHEMA).iter_errors(world)
    places = {"/".join(map(str, error.absolute_path)) for error in found}
    assert places == {"", "theme/accent", "opening", "questions/0/choices/0"}


def test_every_key_of_a_world_is_explained_to_its_writer() -> None:
    guide = (SCHEMA_FILE.parent / "worlds.md").read_text("utf-8")
    keys = set(SCHEMA["properties"])
    keys |= {key for part in SCHEMA["$defs"].values() for key in part["properties"]}
    assert {key for key in keys if f"`{key}`" not in guide} == set()


# ---- check ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["hollow-skerry", str(WORLDS / "hollow-skerry")])
def test_check_counts_what_a_sound_world_has(named: str) -> None:
    checked = prologue("check", named)
    assert checked.returncode == 0
    english, german = checked.stdout.splitlines()
    world = load_world(WORLDS / "hollow-skerry")
    assert english.startswith(
        "ok: hollow-skerry [en] The Light on Hollow Skerry: 8 opening lines, 5 questions, "
    )
    assert f"{len(world.lulls)} lulls" in english
    assert german.startswith("ok: hollow-skerry [de] Das Feuer auf Hollow Skerry: 8 opening lines")


def test_check_names_every_problem_by_file_and_line_in_all_languages(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(WORLDS / "hollow-skerry", tmp_path / "hollow-skerry"))
    for name, old, new in (
        ("world.yaml", "speaker: forecast", "speaker: foghorn"),
        ("world.de.yaml", "wake: interaction", "wake: nie"),
    ):
        path = folder / name
        path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    checked = prologue("check", str(folder))
    assert checked.returncode == 1
    assert checked.stdout == ""
    one, other, summary = checked.stderr.splitlines()
    assert re.fullmatch(rf"{folder}/world\.yaml:\d+: opening\[3\]\.speaker: unknown speaker 'foghorn'.*", one)
    assert re.fullmatch(
        rf"{folder}/world\.de\.yaml:\d+: wake: Input should be 'hello' or 'interaction'", other
    )
    assert summary == "curtain: 2 problems"


def test_check_of_what_is_no_world(tmp_path: Path) -> None:
    checked = prologue("check", str(tmp_path / "narnia"))
    assert checked.returncode == 1
    assert "narnia/world.yaml:1: cannot read it: No such file" in checked.stderr
    assert "Traceback" not in checked.stderr


# ---- play -------------------------------------------------------------------------------------------------


class Screen:
    """A terminal of its own, in which a play runs."""

    def __init__(self, terminal: int, process: subprocess.Popen[bytes]) -> None:
        self.terminal, self.process = terminal, process
        self.text = ""

    def type(self, line: str) -> None:
        os.write(self.terminal, f"{line}\n".encode())

    def shows(self, text: str) -> None:
        """Waits for `text`, whatever lines it is broken into."""
        give_up = time.monotonic() + 30
        while text not in " ".join(self.text.split()):
            assert time.monotonic() < give_up, self.text
            self._read()

    def ends(self) -> int:
        while self._read():
            pass
        return self.process.wait(timeout=10)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.terminal], [], [], 0.5)
        if not ready:
            return True
        try:
            new = os.read(self.terminal, 65_536)
        except OSError:  # Linux's way to say that the other side was closed
            return False
        self.text += new.decode("utf-8", "replace")
        return bool(new)


@contextmanager
def playing(*arguments: str) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "prologue", "play", *arguments],
        cwd=REPOSITORY,
        env=PLAIN,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with process:
        try:
            yield Screen(ours, process)
        finally:
            process.kill()
            os.close(ours)


def test_play_asks_tells_and_ends_with_what_the_model_is_told() -> None:
    world = load_world(WORLDS / "hollow-skerry", "de")
    name, post, bag, *_ = world.questions
    with playing("hollow-skerry", "--language", "de", "--seconds", "6") as screen:
        screen.shows(world.opening[0].text)
        screen.type("")  # hurries
        screen.shows(name.text)
        screen.type("Ada Lovelace")
        screen.shows(name.free_reply)
        screen.type("2")
        screen.shows(post.choices[1].reply)
        screen.type("/skip")
        screen.shows(bag.skip_reply)
        screen.type("/skip all")
        screen.shows(world.countdown[0].text)
        screen.shows(world.ready.text)
        assert screen.ends() == 0
    facts = {"name": "Ada Lovelace", "post": post.choices[1].fact}
    [system, told] = world.render_system(facts).split("\n\n")
    end = " ".join(screen.text.split())
    assert end.endswith(f"{system} {told} {world.opening_prompt}")


def test_play_shows_both_failures_and_the_retry_and_pauses() -> None:
    world = load_world(WORLDS / "emerald-city")
    with playing("emerald-city", "--seconds", "1", "--fail") as screen:
        screen.shows(world.opening[0].text)
        screen.type("/pause")
        screen.shows("held")
        screen.type("/skip all")
        screen.shows(world.failed.text)
        assert world.countdown[0].text not in " ".join(screen.text.split())
        screen.type("/pause")
        screen.type("/wake")
        screen.shows(world.retrying.text)
        screen.shows(world.failed_again.text)
        screen.type("/wake")
        screen.shows(world.ready.text)
        assert screen.ends() == 0


def test_play_when_the_model_is_awake_before_the_last_answer() -> None:
    world = load_world(WORLDS / "emerald-city")
    with playing("emerald-city", "--early") as screen:
        screen.shows(world.opening[0].text)
        for question in world.questions:
            screen.type("1")
            screen.shows(question.choices[0].reply)
        screen.shows("What the model is told")
        assert screen.ends() == 0
    told = world.render_system({question.id: question.choices[0].fact for question in world.questions})
    assert told.split("\n\n")[1] in " ".join(screen.text.split())


def test_play_says_what_is_no_answer_and_lets_one_leave() -> None:
    with playing("hollow-skerry") as screen:
        screen.shows("November 1957")
        screen.type("x" * 300)
        screen.shows("at most 200 characters")
        screen.type("/dance")
        screen.shows("/quit")
        screen.type("/quit")
        assert screen.ends() == 0
    assert "What the model is told" not in screen.text


def test_play_ends_when_the_keyboard_does_and_nothing_can_go_on() -> None:
    played = prologue("play", "hollow-skerry", "--seconds", "1", typed="Ada\n")
    assert played.returncode == 0
    assert "What the model is told" not in played.stdout
    played = prologue("play", "hollow-skerry", "--seconds", "1", typed="Ada\n/skip all\n")
    assert "The newcomer is called Ada." in played.stdout


def test_play_of_a_broken_world_or_an_unknown_language() -> None:
    refused = prologue("play", "hollow-skerry", "--language", "fr")
    assert refused.returncode == 1
    assert "there is no 'fr' of this world; languages: en, de" in refused.stderr
