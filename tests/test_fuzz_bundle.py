"""Damaged bundles, checkpoints and prompts of every kind: the right result, or an error of the engine's own
that names the file and says what to do. Never another exception, a crash, or memory without end."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_image.engine.bundle.layout import BLOCK, panel_bytes
from lambda_image.engine.bundle.manifest import PAGE, read_manifest
from lambda_image.engine.convert.checkpoint import Checkpoint
from lambda_image.engine.convert.finish import finish_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import CheckpointError, PromptError, PromptTooLong
from lambda_image.engine.native.library import instruction_sets
from prologue.world import WORLDS
from tests.checkpoints import write_checkpoint

ADVICE = ("build it again", "put the original file back", "CURTAIN_KERNELS=", "fetch it again")
# Of what a load doesn't look at: a context of a few tokens, a template's words, layers after the first.
AT_REPLY = {
    "PromptTooLong": "shorten it",
    "PromptError": "the model's chat template refuses",
    "NumericsError": "check the bundle with",
}
# Other values of these are another model's, or somebody's choice, and its self-test may well pass.
CHOICES = ("name", "catalog", "source_sha256", "context_length", "generation", "config", "prefixes", "golden")

Told = dict[str, dict[str, Any]]


def fuzz(examples: int) -> settings:
    """The same examples every time: a failure here isn't another one there."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


class Child:
    """`fuzz_child`, begun anew if it dies."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.fuzz_child", instruction_sets()[0]]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        assert self._read() == "ready\n"

    def __call__(self, bundle: Path) -> Told:
        assert self._process.stdin
        self._process.stdin.write(f"{bundle}\n")
        self._process.stdin.flush()
        told: Told = json.loads(self._read())
        return told

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the process that loads died: {self._process.wait()}"
        return line


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    started = Child()
    yield started
    started.close()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    checkpoint = write_checkpoint(folder / "tiny", context=320, inner=256, vocabulary=400, llama3_rope=True)
    write_bundle(checkpoint, folder / "bundle", finish=finish_bundle([WORLDS / "emerald-city"]))
    return folder / "bundle"


@pytest.fixture(scope="module")
def intact(pristine: Path, child: Child) -> Told:
    told = child(pristine)
    assert {"result"} == set(told["serve"]) == set(told["verify"])
    return told


@pytest.fixture(scope="module")
def damaged(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to damage, and to make whole again."""
    return Path(shutil.copytree(pristine, tmp_path_factory.mktemp("damaged") / "bundle"))


def check(told: Told, bundle: Path, intact: Told, *, exact: bool = True) -> None:
    """Of serving and of verifying: the right result, or an error that helps."""
    for what, found in told.items():
        if "error" in found:
            assert found["own"], (what, found)
            if found["kind"] in AT_REPLY:
                assert AT_REPLY[found["kind"]] in found["error"]
            else:
                assert str(bundle) in found["error"], (what, found)
                assert any(advice in found["error"] for advice in ADVICE), (what, found)
        elif exact:
            assert found == intact[what], what


# ---- manifest

STRANGE = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 3, 1 << 31, 1 << 40, 1 << 60, 1 << 63, 1 << 64, 10**30]),
    st.sampled_from([0.5, 1e-300, 1e300, float("inf"), float("nan")]),
    st.sampled_from(["", "x", "../x", "weights.bin", "\0", "A" * 5000, "int4", "float32"]),
    st.sampled_from([[], {}, [[]], [1, 2], {"a": 1}, [0] * 400]),
)


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a JSON value; of long lists the first few."""
    if before:
        yield before
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[: 3 if isinstance(value, list) else None]:
        yield from places(item, (*before, key))


def at(value: Any, place: Sequence[Any]) -> Any:
    """What is there."""
    for key in place:
        value = value[key]
    return value


def changed(value: dict[str, Any], data: st.DataObject) -> tuple[str, tuple[Any, ...]]:
    """JSON of a value with something dropped, replaced, copied from elsewhere or shifted; and where."""
    value = copy.deepcopy(value)
    every = sorted(places(value), key=str)
    place = data.draw(st.sampled_from(every))
    kind = data.draw(st.sampled_from(["drop", "replace", "copy", "shift"]))
    parent, last = at(value, place[:-1]), place[-1]
    if kind == "drop":
        del parent[last]
    elif kind == "shift" and isinstance(parent[last], int):
        parent[last] += data.draw(st.sampled_from([-4096, -1, 1, 32, 4096]))
    elif kind == "copy":
        parent[last] = copy.deepcopy(at(value, data.draw(st.sampled_from(every))))
    else:
        parent[last] = data.draw(STRANGE)
    return json.dumps(value), place


@fuzz(150)
@given(data=st.data())
def test_a_changed_manifest(
    pristine: Path, damaged: Path, child: Child, intact: Told, data: st.DataObject
) -> None:
    manifest = json.loads((pristine / "manifest.json").read_text(encoding="utf-8"))
    text, place = changed(manifest, data)
    with_file(damaged, pristine, "manifest.json", text.encode())
    check(child(damaged), damaged, intact, exact=place[0] not in CHOICES)


@fuzz(60)
@given(data=st.data())
def test_a_manifest_that_is_cut_or_has_other_bytes(
    pristine: Path, damaged: Path, child: Child, intact: Told, data: st.DataObject
) -> None:
    text = (pristine / "manifest.json").read_bytes()
    end = data.draw(st.integers(0, len(text) - 1))
    junk = data.draw(st.sampled_from([b"\xff", b"\x00", b"[" * 100_000, b"{", b'"', b"9" * 5000]))
    cut = data.draw(st.booleans())
    with_file(damaged, pristine, "manifest.json", text[:end] if cut else text[:end] + junk + text[end:])
    check(child(damaged), damaged, intact, exact=cut)


HUGE = {
    "context": (("context_length",), ("config", "max_position_embeddings")),
    "layers": (("config", "num_hidden_layers"),),
    "vocabulary": (("config", "vocab_size"),),
    "hidden": (("config", "hidden_size"),),
    "head": (("config", "head_dim"),),
    "tensor": (("tensors", "head", "nbytes"),),
    "offset": (("tensors", "head", "offset"),),
    "file": (("files", "weights.bin", "size"),),
}


@pytest.mark.parametrize("size", [1 << 31, 1 << 40, 1 << 60])
@pytest.mark.parametrize("name", HUGE)
def test_a_claim_of_more_than_there_is(
    pristine: Path, damaged: Path, child: Child, intact: Told, name: str, size: int
) -> None:
    manifest = json.loads((pristine / "manifest.json").read_text(encoding="utf-8"))
    for *before, last in HUGE[name]:
        at(manifest, before)[last] = size
    with_file(damaged, pristine, "manifest.json", json.dumps(manifest).encode())
    told = child(damaged)
    assert "error" in told["serve"]
    check(told, damaged, intact)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("golden", "ids", 0), 397),
        (("golden", "ids", 7), 1 << 64),
        (("golden", "hidden", "indices", 0), 64),
        (("golden", "hidden", "indices", 0), 1 << 64),
        (("golden", "logits", "indices", 5), 397),
        (("config", "windows", 0), 1 << 63),
        (("config", "windows", 1), 1 << 64),
    ],
)
def test_numbers_past_the_model(
    pristine: Path, damaged: Path, child: Child, intact: Told, place: tuple[Any, ...], value: int
) -> None:
    manifest = json.loads((pristine / "manifest.json").read_text(encoding="utf-8"))
    at(manifest, place[:-1])[place[-1]] = value
    with_file(damaged, pristine, "manifest.json", json.dumps(manifest).encode())
    check(child(damaged), damaged, intact)  # a window wider than the context changes nothing


# ---- the other files


def with_file(damaged: Path, pristine: Path, name: str, content: bytes) -> None:
    """Makes the copy whole, but for one file."""
    for path in pristine.iterdir():
        data = content if path.name == name else path.read_bytes()
        copied = damaged / path.name
        if not copied.exists() or copied.read_bytes() != data:
            copied.write_bytes(data)


@fuzz(120)
@given(data=st.data())
def test_a_damaged_file(
    pristine: Path, damaged: Path, child: Child, intact: Told, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(read_manifest(pristine).files)))
    content = bytearray((pristine / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1) | st.sampled_from([0, len(content) - 1]))
    kind = data.draw(st.sampled_from(["cut", "flip", "noise", "longer"]))
    if kind == "cut":
        del content[place:]
    elif kind == "flip":
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "noise":
        content[place : place + 64] = data.draw(st.binary(min_size=64, max_size=64))[: len(content) - place]
    else:
        content += b"\0"
    with_file(damaged, pristine, name, bytes(content))
    told = child(damaged)
    check(told, damaged, intact, exact=False)  # loading looks at sizes, edges and one layer; verifying at all
    if bytes(content) != (pristine / name).read_bytes():
        assert "error" in told["verify"]
        assert name in told["verify"]["error"]


@pytest.mark.parametrize("bits", [0x7FC0, 0x7F80, 0xFF80], ids=["NaN", "infinity", "-infinity"])
@pytest.mark.parametrize("name", ["layers.0.gate_up", "layers.1.gate_up", "layers.1.down", "head"])
def test_scales_that_are_not_finite(
    pristine: Path, damaged: Path, child: Child, intact: Told, name: str, bits: int
) -> None:
    """In the middle of a tensor, where no load looks at the bytes: what is computed tells."""
    entry = read_manifest(pristine).tensors[name]
    content = bytearray((pristine / entry.file).read_bytes())
    assert entry.nbytes > 2 * PAGE + BLOCK
    place = entry.offset + PAGE + -PAGE % panel_bytes(entry.shape[1]) + BLOCK - 16  # a panel's first scale
    content[place : place + 2] = bits.to_bytes(2, "little")
    with_file(damaged, pristine, entry.file, bytes(content))
    told = child(damaged)
    assert "self-test" in told["serve"]["error"] or told["serve"]["kind"] == "NumericsError"
    check(told, damaged, intact)


# ---- checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("fuzz") / "checkpoint")


def read_all(folder: Path) -> None:
    opened = Checkpoint(folder)
    for planned in opened.plan:
        opened.rows(planned)
        opened.bias(planned)


@fuzz(150)
@given(data=st.data())
def test_a_damaged_checkpoint(checkpoint: Path, data: st.DataObject) -> None:
    """Its header changed as JSON, or any bytes of the file."""
    path = checkpoint / "model.safetensors"
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    content = bytearray(whole)
    kind = data.draw(st.sampled_from(["length", "header", "bytes", "cut"]))
    if kind == "length":
        claimed = data.draw(st.sampled_from([0, 1, length - 1, length + 1, 1 << 40, (1 << 64) - 1]))
        content[:8] = claimed.to_bytes(8, "little")
    elif kind == "header":
        header = changed(json.loads(whole[8 : 8 + length]), data)[0].encode()
        content[: 8 + length] = len(header).to_bytes(8, "little") + header
    elif kind == "bytes":
        place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 8 + length))
        content[place : place + 2] = data.draw(st.sampled_from([b"\xff\xff", b"\x80\x7f", b'"}', b"00"]))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    refusal = ""
    try:
        read_all(checkpoint)
    except CheckpointError as error:
        refusal = str(error)
    finally:
        path.write_bytes(whole)
    assert not refusal or str(checkpoint) in refusal
    assert refusal or kind in ("header", "bytes")  # of metadata, or of a weight that stays finite


# ---- prompts


@pytest.fixture(scope="module")
def engine(pristine: Path) -> Engine:
    return Engine.load(pristine)


def reply(engine: Engine, said: str, **options: Any) -> tuple[str, str]:
    """Text and why it ended."""
    pieces = list(engine.reply([{"role": "user", "content": said}], seed=1, **{"max_tokens": 5} | options))
    assert pieces[-1].end
    return "".join(piece.text for piece in pieces), pieces[-1].end.finish_reason


@fuzz(60)
@given(said=st.text(st.characters(), max_size=60) | st.text("\ud800\udfff<|eot_id|>\0\ufffda", max_size=60))
def test_any_text_is_replied_to(engine: Engine, said: str) -> None:
    assert reply(engine, said)[1] in ("length", "stop")


def test_lone_surrogates_are_replacement_characters(engine: Engine) -> None:
    assert reply(engine, "a\ud800b") == reply(engine, "a\ufffdb")


@pytest.mark.parametrize("unit", ["on and on ", "\ud800"])
def test_a_megabyte_is_refused(engine: Engine, unit: str) -> None:
    size = len(unit.encode("utf-8", "surrogatepass"))
    with pytest.raises(PromptTooLong, match=r"the last turn takes \d+ tokens, \d+ fit: shorten it"):
        reply(engine, unit * (1_000_000 // size))


def test_edges_of_sampling(engine: Engine) -> None:
    greedy = reply(engine, "Hi", temperature=0.0)
    assert reply(engine, "Hi", temperature=2.0, top_p=0.0) == greedy
    assert reply(engine, "Hi", temperature=2.0, top_k=1) == greedy
    assert reply(engine, "Hi", max_tokens=0) == ("", "length")
    assert reply(engine, "Hi", max_tokens=-1) == ("", "length")
    with pytest.raises(PromptError):
        engine.reply([{"role": "user"}], seed=1)
