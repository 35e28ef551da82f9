"""What the command line says when something is wrong: one line that helps, and a non-zero exit."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from prologue.world import WORLDS
from tests.checkpoints import write_checkpoint
from tests.house import REPOSITORY, command, free_port


def refused(*options: str) -> str:
    """The one line of a stage that will not start."""
    done = subprocess.run(
        command(*options), cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("curtain: ")]
    assert len(lines) == 1, done.stderr
    return done.stderr[done.stderr.index("curtain: ") :]


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--port", str(port))
    assert f"port {port} is in use" in said
    assert f"--port {port + 1}" in said


def test_an_unknown_model_or_world_names_the_known_ones() -> None:
    assert "demo" in refused("--model", "gpt-5")
    assert "emerald-city" in refused("--world", "narnia")


def test_a_name_that_is_taken_twice_is_refused(tmp_path: Path) -> None:
    assert "--model demo: there are 2" in refused("--model", "demo", "--model", "demo")
    shutil.copytree(WORLDS / "emerald-city", tmp_path / "emerald-city")
    twice = ("--world", "emerald-city", "--world", str(tmp_path / "emerald-city"))
    assert "--world emerald-city: there are 2" in refused(*twice)


def test_a_broken_world_names_file_and_line(tmp_path: Path) -> None:
    world = tmp_path / "emerald-city"
    shutil.copytree(WORLDS / "emerald-city", world)
    text = (world / "world.yaml").read_text(encoding="utf-8")
    (world / "world.yaml").write_text(text.replace("opening_prompt:", "opening_promt:"), encoding="utf-8")
    line = text[: text.index("opening_prompt:")].count("\n") + 1
    assert f"world.yaml:{line}: " in refused("--world", str(world))


@pytest.mark.parametrize("damage", ["missing", "truncated", "header"])
def test_missing_or_damaged_weights_name_the_file(tmp_path: Path, damage: str) -> None:
    model = write_checkpoint(tmp_path / "model")
    weights = model / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(whole[: len(whole) // 2])
    else:
        weights.write_bytes(b"\xff" * 8 + whole[8:])
    assert "model.safetensors" in refused("--port", str(free_port()), "--model", str(model))


def test_an_option_out_of_range_is_named() -> None:
    done = subprocess.run(
        command("--environments", "0"), cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--environments" in done.stderr
