"""`make model`, whole: from a checkpoint in the real file format to a bundle that is verified."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
import typer
from typer.testing import CliRunner, Result

from lambda_image.engine.bundle.manifest import MANIFEST, read_manifest, verify_bundle
from lambda_image.engine.convert import build
from lambda_image.engine.convert.ensure import ensure_bundle
from lambda_image.engine.errors import BundleError, CheckpointError
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
    assert "libcurtain-x86_64.so" in result.stdout
    manifest = verify_bundle(link)
    assert manifest.name == f"my-{family}"
    assert manifest.config.architecture.lower().startswith(family)
    assert list(manifest.prefixes) == ["emerald-city"]
    assert manifest.golden is not None
    assert manifest.catalog is None


def test_the_demo_model_by_name(tmp_path: Path) -> None:
    result = run(tmp_path, "demo")
    assert result.exit_code == 0, result.output
    manifest = verify_bundle(tmp_path / "models" / "demo")
    assert (manifest.name, manifest.catalog, manifest.context_length) == ("demo", "demo", 2048)
    assert re.search(
        r"[\d.]+ MB, 0\.\d{4} bytes per parameter, .*; peak memory [\d.]+ GB, \d+ s", result.stdout
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


def test_an_unknown_target(tmp_path: Path) -> None:
    result = run(tmp_path, "demo", "--target", "sparc")
    assert result.exit_code == 2
    assert "'sparc' is not one of 'arm64'," in result.stderr


def test_an_unsupported_architecture_is_refused_before_any_work(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "source"))
    edit_json(source / "config.json", architectures=["GPT2LMHeadModel"])
    assert "GPT2LMHeadModel" in refused(tmp_path / "cache", "toy", "--source", str(source))
    assert not (tmp_path / "cache" / "bundles").exists()


def test_a_killed_build_leaves_nothing_that_loads(checkpoint: Path, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from lambda_image.engine.convert.ensure import ensure_bundle\n"
        "def progress(name, done, total):\n"
        "    if done > total / 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ensure_bundle(*map(pathlib.Path, sys.argv[1:]), progress=progress)\n"
    )
    command = [sys.executable, "-c", program, str(checkpoint), str(tmp_path)]
    killed = subprocess.run(command, cwd=REPOSITORY, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (left,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert left.name.endswith(".partial")
    with pytest.raises(BundleError, match=MANIFEST):
        read_manifest(left)

    bundle = ensure_bundle(checkpoint, tmp_path)
    verify_bundle(bundle)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [bundle]


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


def test_ensure_builds_once_and_notices_other_weights(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "toy"))
    first = ensure_bundle(source, tmp_path / "cache")
    built = (first / MANIFEST).stat()
    assert ensure_bundle(source, tmp_path / "cache") == first
    assert (first / MANIFEST).stat() == built
    shard = source / "model-00002-of-00002.safetensors"
    with shard.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"\0\0")
    assert ensure_bundle(source, tmp_path / "cache") != first


def test_ensure_notices_another_prompt_but_not_another_answer(checkpoint: Path, tmp_path: Path) -> None:
    city = Path(shutil.copytree(CITY, tmp_path / CITY.name))
    first = ensure_bundle(checkpoint, tmp_path / "cache", worlds=[city])
    assert ensure_bundle(checkpoint, tmp_path / "cache") != first

    text = (city / "world.yaml").read_text(encoding="utf-8")
    tagline = re.sub(r"(?m)^tagline:.*$", "tagline: Another one", text)
    assert tagline != text
    (city / "world.yaml").write_text(tagline, encoding="utf-8")
    assert ensure_bundle(checkpoint, tmp_path / "cache", worlds=[city]) == first

    prompt = re.sub(r"(?m)^opening_prompt:.*$", "opening_prompt: Begin.", text)
    assert prompt != text
    (city / "world.yaml").write_text(prompt, encoding="utf-8")
    assert ensure_bundle(checkpoint, tmp_path / "cache", worlds=[city]) != first


def test_ensure_survives_a_broken_memo(checkpoint: Path, tmp_path: Path) -> None:
    first = ensure_bundle(checkpoint, tmp_path)
    for rubbish in ("{", "[]", '{"a": 7}'):
        (tmp_path / "memo.json").write_text(rubbish)
        assert ensure_bundle(checkpoint, tmp_path) == first


def test_ensure_finds_a_bundle_without_importing_torch(checkpoint: Path, tmp_path: Path) -> None:
    ensure_bundle(checkpoint, tmp_path, worlds=[CITY])
    program = (
        "import sys, pathlib; from lambda_image.engine.convert.ensure import ensure_bundle; "
        "source, cache, city = map(pathlib.Path, sys.argv[1:]); "
        "ensure_bundle(source, cache, worlds=[city]); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(checkpoint), str(tmp_path), str(CITY)]
    subprocess.run(command, check=True, cwd=REPOSITORY)


def test_ensure_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        ensure_bundle(tmp_path / "nothing", tmp_path / "cache")


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
