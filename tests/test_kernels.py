"""Which kernels serve, and what is said where there are none."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_image.engine import kernels
from lambda_image.engine.bundle.load import Bundle, open_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.errors import EngineError
from lambda_image.engine.native import library
from lambda_image.engine.native.cpu import log_kernels
from tests.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("kernels")
    write_bundle(write_checkpoint(folder / "oz"), folder / "bundle")
    return open_bundle(folder / "bundle")


def test_the_best_native_kernels_are_the_default(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    best = f"native/{library.instruction_sets()[0]}"
    monkeypatch.delenv(kernels.SETTING, raising=False)
    assert kernels.open_decoder(bundle).kernels == best
    assert kernels.open_decoder(bundle, setting="native").kernels == best


def test_the_environment_chooses_and_the_caller_overrides(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kernels.SETTING, "native/portable")
    assert kernels.open_decoder(bundle).kernels == "native/portable"
    assert kernels.open_decoder(bundle, setting="aten").kernels.startswith("aten/")


@pytest.mark.parametrize("setting", ["fast", "aten/sdot", "native/abacus"])
def test_an_unknown_choice_is_refused(bundle: Bundle, setting: str) -> None:
    with pytest.raises(EngineError, match=setting.partition("/")[2] or setting):
        kernels.open_decoder(bundle, setting=setting)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    library.load.cache_clear()
    monkeypatch.setattr(library, "COMPILED", tmp_path)
    yield
    library.load.cache_clear()


@pytest.mark.usefixtures("no_library")
def test_without_the_library_torch_serves_and_the_log_says_so(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    log_kernels.cache_clear()  # it is said once in a process
    with caplog.at_level(logging.INFO):
        decoder = kernels.open_decoder(bundle)
    assert decoder.kernels.startswith("aten/")
    assert "NO NATIVE KERNELS" in caplog.text
    assert "make native" in caplog.text
    assert f"kernels {decoder.kernels}, 1 threads" in caplog.text


@pytest.mark.usefixtures("no_library")
def test_without_either_the_error_says_what_to_do(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="make native"):
        kernels.open_decoder(bundle)
    with pytest.raises(EngineError, match="pip install torch"):
        kernels.open_decoder(bundle, setting="aten")


@pytest.mark.usefixtures("no_library")
def test_a_choice_is_not_replaced_by_another(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="make native"):
        kernels.open_decoder(bundle, setting="native/portable")


def test_what_another_path_would_not_cure_is_raised(bundle: Bundle) -> None:
    """More threads than the pool takes, or than there is memory for: torch would only hide it."""
    with pytest.raises(EngineError, match="threads"):
        kernels.open_decoder(bundle, threads=100_000)
