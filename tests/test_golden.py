"""The self-test: what it writes down, what it lets through, and what it refuses to serve."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lambda_image.engine.bundle.load import Bundle, open_bundle
from lambda_image.engine.bundle.manifest import MANIFEST, PAGE
from lambda_image.engine.bundle.verify import main as verify
from lambda_image.engine.convert.finish import finish_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.decoder import Decoder, Logits
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import BundleError
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.golden import IDS, check_all, check_first_layer
from lambda_image.engine.kernels import native_decoder, open_decoder
from lambda_image.engine.native.library import instruction_sets
from tests.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    checkpoint = write_checkpoint(
        folder / "oz", hidden=128, inner=512, heads=4, head_dim=64, vocabulary=400, tied=True
    )
    write_bundle(checkpoint, folder / "bundle", finish=finish_bundle([]))
    return folder / "bundle"


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "bundle"))


def overwrite(folder: Path, tensor: str, junk: bytes) -> None:
    """Puts `junk` in the middle of a tensor, where no checksum of a load looks."""
    entry = open_bundle(folder).manifest.tensors[tensor]
    assert entry.nbytes > 2 * PAGE + len(junk)
    with (folder / entry.file).open("r+b") as file:
        file.seek(entry.offset + PAGE + (entry.nbytes - 2 * PAGE - len(junk)) // 2)
        file.write(junk)


JUNK = np.random.default_rng(1).integers(0, 256, 1500, np.uint8).tobytes()


def test_the_reference_spreads_over_vocabulary_and_first_layer(built: Path) -> None:
    manifest = open_bundle(built).manifest
    golden = manifest.golden
    assert golden is not None
    assert len(golden.ids) == len(set(golden.ids)) == IDS
    assert (golden.ids[0], golden.ids[-1]) == (0, manifest.config.vocab_size - 1)
    assert {index // 8 for index in golden.hidden.indices} == set(range(128 // 8))  # one of each packed panel
    assert len(golden.logits.indices) >= 64
    assert golden.kernels == "native/portable"


@pytest.mark.parametrize("isa", instruction_sets())
def test_every_kernel_of_this_machine_passes(built: Path, isa: str) -> None:
    bundle = open_bundle(built)
    decoder = native_decoder(bundle, isa=isa)
    assert check_first_layer(bundle, decoder) is not None
    error = check_all(bundle, decoder)
    assert error < 1e-4


@pytest.mark.parametrize("tensor", ["qkv", "out", "gate_up", "down"])
@pytest.mark.parametrize("junk", [JUNK, bytes(1500)], ids=["junk", "zeros"])
def test_a_damaged_page_of_the_first_layer_is_not_served(bundle: Path, tensor: str, junk: bytes) -> None:
    overwrite(bundle, f"layers.0.{tensor}", junk)
    with pytest.raises(
        BundleError, match=r"bundle: the self-test of the first layer fails on kernels native/"
    ):
        Engine.load(bundle)


@pytest.mark.parametrize("tensor", ["layers.1.qkv", "layers.1.out", "layers.1.gate_up", "layers.1.down"])
def test_a_damaged_page_elsewhere_fails_the_whole_test(bundle: Path, tensor: str) -> None:
    overwrite(bundle, tensor, JUNK)
    engine = Engine.load(bundle)
    with pytest.raises(BundleError, match="the self-test of the whole model fails on kernels native/"):
        engine.about()


def test_atens_kernels_pass(built: Path) -> None:
    bundle = open_bundle(built)
    error = check_all(bundle, open_decoder(bundle, setting="aten"))
    assert 1e-4 < error < 0.1  # its activations are rounded otherwise


class Wrong:
    """A kernel that is off by a little."""

    def __init__(
        self, decoder: Decoder, factor: float, kernels: str = "native/odd", *, first: float | None = None
    ) -> None:
        self._decoder, self._factor, self.kernels = decoder, factor, kernels
        self._first = factor if first is None else first
        self.config = decoder.config

    def forward(self, ids: Sequence[int], cache: KVCache, *, every_position: bool = False) -> Logits:
        return self._decoder.forward(ids, cache, every_position=every_position) * np.float32(self._factor)

    def first_layer(self, ids: Sequence[int]) -> Logits:
        return self._decoder.first_layer(ids) * np.float32(self._first)


@pytest.fixture
def opened(built: Path) -> Bundle:
    return open_bundle(built)


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_wrong_kernel_is_named(opened: Bundle, factor: float) -> None:
    wrong = Wrong(native_decoder(opened), factor)
    for check in (check_first_layer, check_all):
        with pytest.raises(
            BundleError, match=r"fails on kernels native/odd .*CURTAIN_KERNELS=native/portable"
        ):
            check(opened, wrong)


def test_the_second_path_may_differ_more(opened: Bundle) -> None:
    decoder = native_decoder(opened)
    check_all(opened, Wrong(decoder, 1.03, "aten/odd"))
    with pytest.raises(BundleError, match="the first layer fails on kernels aten/odd"):
        check_all(opened, Wrong(decoder, 1.06, "aten/odd"))
    with pytest.raises(BundleError, match="the whole model fails on kernels aten/odd"):
        check_all(opened, Wrong(decoder, 1.11, "aten/odd", first=1.0))


def test_a_bundle_without_a_reference_is_served_with_a_warning_but_not_vouched_for(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = bundle / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"golden": None}))
    engine = Engine.load(bundle)
    assert "HAS NO SELF-TEST" in caplog.text
    assert engine.prompt_budget is None
    with pytest.raises(BundleError, match="has no self-test"):
        engine.about()
    app = typer.Typer()
    app.command()(verify)
    verified = CliRunner().invoke(app, [str(bundle)])
    assert verified.exit_code == 1
    assert "has no self-test" in verified.output


def test_verify_tells_both(bundle: Path) -> None:
    app = typer.Typer()
    app.command()(verify)
    good = CliRunner().invoke(app, [str(bundle)])
    assert good.exit_code == 0
    assert "files as built; native/" in good.output
    assert "self-test passed" in good.output
    overwrite(bundle, "layers.1.out", bytes(1000))
    bad = CliRunner().invoke(app, [str(bundle)])
    assert bad.exit_code == 1
    assert "weights.bin is not the file that was built" in bad.output
