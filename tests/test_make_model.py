"""`make model`, whole: from a checkpoint in the real file format to a bundle that is verified."""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers
import typer
from typer.testing import CliRunner, Result

from lambda_image.engine.bundle.manifest import MANIFEST, verify_bundle
from lambda_image.engine.convert import build
from lambda_image.engine.convert.memory import STATUS, Peak, peak_memory
from lambda_image.engine.native.build import build as compile_
from lambda_image.engine.native.target import this_machine
from prologue.world import WORLDS
from tests.checkpoints import edit_json, write_checkpoint, write_tokenizer
from tests.hub import fake_hub

REPOSITORY = Path(__file__).parents[1]
CITY = WORLDS / "emerald-city"
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "eos_token_id": 1,
}
FAMILIES = {
    "llama": transformers.LlamaConfig,
    "mistral": transformers.MistralConfig,
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
}


@pytest.fixture(autouse=True)
def sigterm() -> Iterator[None]:
    """The command line sets a handler, which must not outlive it here."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "toy", sharded=True)


def run(cache: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(build.main)
    return CliRunner().invoke(app, [*arguments, "--cache", str(cache)])


def refused(cache: Path, *arguments: str) -> str:
    """The one line of a refusal."""
    result = run(cache, *arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", result.stderr)
    return result.stderr


@pytest.mark.parametrize("family", FAMILIES)
def test_every_architecture(tmp_path: Path, family: str) -> None:
    """As transformers itself writes a checkpoint of it."""
    source = tmp_path / "source"
    source.mkdir()
    vocabulary = write_tokenizer(source, 300)
    torch.manual_seed(0)
    config = FAMILIES[family](vocab_size=vocabulary, **SMALL)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(source)

    result = run(tmp_path / "cache", f"my-{family}", "--source", str(source), "--target", "x86_64")
    assert result.exit_code == 0, result.output
    link = tmp_path / "cache" / "models" / f"my-{family}"
    assert f"{link} -> " in result.stdout
    manifest = verify_bundle(link)
    assert manifest.name == f"my-{family}"
    assert manifest.config.architecture.lower().startswith(family)
    assert sorted(manifest.prefixes) == [
        "emerald-city",
        "emerald-city.de",
        "hollow-skerry",
        "hollow-skerry.de",
    ]
    assert manifest.golden is not None
    assert manifest.catalog is None


def test_the_demo_model_by_name(tmp_path: Path) -> None:
    result = run(tmp_path, "demo")
    assert result.exit_code == 0, result.output
    manifest = verify_bundle(tmp_path / "models" / "demo")
    assert (manifest.name, manifest.catalog, manifest.context_length) == ("demo", "demo", 2048)
    assert re.search(
        r"[\d.]+ MB, 0\.\d{4} bytes per parameter, .*; peak memory [\d.]+ GB, \d+ s\n", result.stdout
    )


def test_a_second_run_finds_what_the_first_built(checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("toy", "--source", str(checkpoint), "--world", "emerald-city")
    assert run(tmp_path, *arguments).exit_code == 0
    built = (tmp_path / "models" / "toy" / MANIFEST).stat()
    assert run(tmp_path, *arguments).exit_code == 0
    assert (tmp_path / "models" / "toy" / MANIFEST).stat() == built


def test_a_source_on_the_hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub() as hub:
        hub.add("toys/toy", checkpoint)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        result = run(tmp_path, "toy", "--source", "toys/toy")
    assert result.exit_code == 0, result.output
    verify_bundle(tmp_path / "models" / "toy")


def test_a_gated_source_without_a_token(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with fake_hub() as hub:
        hub.add("toys/toy", checkpoint, gated=True)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert "set HF_TOKEN" in refused(tmp_path, "toy", "--source", "toys/toy")


def test_refusals(checkpoint: Path, tmp_path: Path) -> None:
    assert "no model 'lama3.1' in the catalog; did you mean llama3.1" in refused(tmp_path, "lama3.1")
    assert "./nothing: no such folder" in refused(tmp_path, "toy", "--source", "./nothing")
    assert "no world 'narnia'" in refused(tmp_path, "demo", "--world", "narnia")
    said = refused(tmp_path, "llama3.1-8b", "--source", str(checkpoint))
    assert "is no llama3.1-8b: hidden_size is 64, not 4096; give MODEL a name of its own" in said
    assert not (tmp_path / "bundles").exists()


def test_the_library_of_the_target_is_compiled(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of the architecture that this machine is not."""
    other, architecture = (
        ("x86_64", "x86_64") if this_machine().architecture == "aarch64" else ("arm64", "aarch64")
    )
    monkeypatch.setattr("lambda_image.engine.convert.build.build_library", partial(compile_, out=tmp_path))
    result = run(tmp_path / "cache", "toy", "--source", str(checkpoint), "--target", other)
    assert result.exit_code == 0, result.output
    library = tmp_path / f"libcurtain-{architecture}.so"
    assert f"{library} is {other}'s library" in result.stdout
    machine = int.from_bytes(library.read_bytes()[18:20], "little")  # ELF's e_machine
    assert machine == {"x86_64": 62, "aarch64": 183}[architecture]


@pytest.mark.parametrize("name", ["owner/name", "../x", "..", "two words", ".hidden", "toy\n"])
def test_a_name_that_no_folder_can_have(checkpoint: Path, tmp_path: Path, name: str) -> None:
    assert "can't be a model's name" in refused(tmp_path / "cache", name, "--source", str(checkpoint))
    assert list(tmp_path.iterdir()) == []


def test_peak_memory_is_what_was_allocated() -> None:
    with peak_memory() as peak:
        peak.look()
        before = peak.anonymous
        block = bytearray(b"x") * (256 << 20)  # so much that what other tests left and free hides none of it
        deadline = time.monotonic() + 60
        while STATUS.exists() and peak.anonymous - before < 128 << 20:  # its own thread looks
            assert time.monotonic() < deadline
            time.sleep(0.01)
        del block
    if STATUS.exists():
        assert re.fullmatch(r"\d+\.\d\d GB", str(peak))
    assert re.fullmatch(r"\d+\.\d\d GB, mapped files included", str(Peak()))


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EACCES, ""), (errno.ENOSPC, ": make room there"), (errno.EDQUOT, ": make room there")],
)
def test_only_a_full_disk_asks_for_room(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise OSError(number, os.strerror(number), "there")

    monkeypatch.setattr(build, "ensure_bundle", fail)
    said = refused(tmp_path, "toy", "--source", str(checkpoint))
    assert said == f"error: there: {os.strerror(number)}{hint}\n"


def test_an_unknown_target(tmp_path: Path) -> None:
    result = run(tmp_path, "demo", "--target", "sparc")
    assert result.exit_code == 2
    assert "'sparc' is not one of 'arm64'," in result.stderr


def test_an_unsupported_architecture_is_refused_before_any_work(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "source"))
    edit_json(source / "config.json", architectures=["GPT2LMHeadModel"])
    assert "GPT2LMHeadModel" in refused(tmp_path / "cache", "toy", "--source", str(source))
    assert not (tmp_path / "cache" / "bundles").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_leaves_one_line_and_nothing_else(tmp_path: Path, number: signal.Signals) -> None:
    source = write_checkpoint(tmp_path / "source", hidden=512, inner=2048, layers=8, heads=8, head_dim=64)
    command = [sys.executable, "-m", "lambda_image.engine.convert.build", "toy", "--source", str(source)]
    process = subprocess.Popen(
        [*command, "--cache", str(tmp_path / "cache")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has children that ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    bundles = tmp_path / "cache" / "bundles"
    while not list(bundles.glob(".*.partial/*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert error == "stopped: no half bundle is left, and a download goes on next time\n"
    assert [path for path in bundles.iterdir() if path.is_dir()] == []
    assert not (tmp_path / "cache" / "models").exists()


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A real failing write: the kernel refuses files above a limit."""
    source = write_checkpoint(tmp_path / "source", hidden=256, inner=512, layers=4)
    command = [sys.executable, "-m", "lambda_image.engine.convert.build", "toy", "--source", str(source)]
    command += ["--cache", str(tmp_path / "cache")]
    limit = 500_000
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*cache\S*: File too large: make room.*\n", done.stderr), done.stderr
    assert [path for path in (tmp_path / "cache" / "bundles").iterdir() if path.is_dir()] == []
    assert run(tmp_path / "cache", "toy", "--source", str(source)).exit_code == 0


def test_serving_needs_nothing_of_the_converter() -> None:
    program = (
        "import sys, lambda_image.engine.engine; "
        "print([name for name in sys.modules if name.startswith('lambda_image.engine.convert')])"
    )
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True, text=True).stdout
    assert said == "[]\n"


def test_clean_keeps_the_downloads_and_distclean_does_not(tmp_path: Path) -> None:
    shutil.copyfile(REPOSITORY / "Makefile", tmp_path / "Makefile")
    checkpoint = tmp_path / ".cache" / "checkpoints" / "owner--name"
    for folder in (checkpoint, tmp_path / ".cache" / "bundles" / "toy"):
        folder.mkdir(parents=True)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert [path.name for path in (tmp_path / ".cache").iterdir()] == ["checkpoints"]
    assert checkpoint.is_dir()
    subprocess.run(["make", "distclean"], cwd=tmp_path, check=True, capture_output=True)
    assert not (tmp_path / ".cache").exists()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)


def test_the_make_target_hands_its_variables_over() -> None:
    said = subprocess.run(
        ["make", "-n", "model", "MODEL=toy", "SOURCE=toys/toy", "TARGET=x86_64", "WORLD=oz narnia"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    said = re.sub(r"\s*\\\n\s*", " ", said)
    assert "convert.build 'toy' --source 'toys/toy' --target x86_64 --world oz --world narnia" in said
