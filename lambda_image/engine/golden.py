"""The golden self-test: a short prompt whose numbers were written down when the bundle was built.

The reference is computed with the portable kernels, whose every sum is plain to read. A bundle or a kernel
that gives other numbers is not served.
"""

import logging
import time
from collections.abc import Sequence

import numpy as np

from lambda_image.engine.bundle.load import Bundle
from lambda_image.engine.bundle.manifest import REBUILD, Golden, Sample
from lambda_image.engine.decoder import Decoder, Logits
from lambda_image.engine.errors import BundleError
from lambda_image.engine.generation.cache import KVCache

IDS = 8  # tokens of the prompt
LOGITS = 64  # of the vocabulary, written down
PANEL = 8  # one element of each packed panel of the first layer is written down: no page of it goes unseen
# Relative L2 distance, of the first layer and of the whole model. The native kernels agree to the last bit,
# on every instruction set; what is left is for a platform's own cosines. ATen rounds activations otherwise
# (KleidiAI), or computes in bfloat16 (x86): 0.008 and 0.027 on the demo model, 0.015 and 0.029 on 1 billion
# random weights; three times the larger.
TOLERANCES = {"native": (1e-4, 1e-4), "aten": (0.05, 0.1)}

log = logging.getLogger(__name__)


def make_golden(bundle: Bundle, decoder: Decoder) -> Golden:
    """The reference of a bundle, computed by `decoder`: the portable one."""
    config = bundle.manifest.config
    ids = tuple(int(number) for number in np.linspace(0, config.vocab_size - 1, IDS).round())
    return Golden(
        ids=ids,
        hidden=_sample(decoder.first_layer(ids), range(PANEL // 2, config.hidden_size, PANEL)),
        logits=_sample(
            _logits(decoder, ids), range(0, config.vocab_size, max(config.vocab_size // LOGITS, 1))
        ),
        kernels=decoder.kernels,
    )


def check_first_layer(bundle: Bundle, decoder: Decoder) -> float | None:
    """BundleError if the first layer gives other numbers than when the bundle was built.

    Returns the seconds it took, for a first guess of the prefill rate; None, with a warning in the log, if
    the bundle has no reference.
    """
    golden = bundle.manifest.golden
    if golden is None:
        log.warning("%s HAS NO SELF-TEST: what it computes is not checked: %s", bundle.path, REBUILD)
        return None
    began = time.perf_counter()
    hidden = decoder.first_layer(golden.ids)
    seconds = time.perf_counter() - began
    _compare_first_layer(bundle, decoder, hidden, golden)
    return seconds


def check_all(bundle: Bundle, decoder: Decoder) -> float:
    """The same of the whole model. Returns the relative error. BundleError also if there is no reference."""
    golden = bundle.manifest.golden
    if golden is None:
        raise BundleError(f"{bundle.path} has no self-test, so nothing shows that it is right: {REBUILD}")
    _compare_first_layer(bundle, decoder, decoder.first_layer(golden.ids), golden)
    tolerance = _tolerances(decoder)[1]
    logits = _logits(decoder, golden.ids)
    return _compare(bundle, decoder, "the whole model", logits, golden.logits, tolerance)


def _logits(decoder: Decoder, ids: Sequence[int]) -> Logits:
    return decoder.forward(ids, KVCache(decoder.config, len(ids)))


def _sample(values: Logits, indices: range) -> Sample:
    return Sample(indices=tuple(indices), values=tuple(float(values[index]) for index in indices))


def _tolerances(decoder: Decoder) -> tuple[float, float]:
    return TOLERANCES[decoder.kernels.partition("/")[0]]


def _compare_first_layer(bundle: Bundle, decoder: Decoder, hidden: Logits, golden: Golden) -> None:
    _compare(bundle, decoder, "the first layer", hidden, golden.hidden, _tolerances(decoder)[0])


def _compare(
    bundle: Bundle, decoder: Decoder, what: str, values: Logits, reference: Sample, tolerance: float
) -> float:
    expected = np.array(reference.values)
    found = np.asarray(values, np.float64)[list(reference.indices)]
    error = float(np.linalg.norm(found - expected)) / max(float(np.linalg.norm(expected)), 1e-30)
    if not error <= tolerance:  # also if it is NaN
        raise BundleError(
            f"{bundle.path}: the self-test of {what} fails on kernels {decoder.kernels} (relative error "
            f"{error:.2g}, at most {tolerance:g}). Either the bundle is damaged: check it with python -m "
            f"lambda_image.engine.bundle.verify, and {REBUILD}. Or these kernels are wrong on this CPU: "
            "choose others, such as CURTAIN_KERNELS=native/portable"
        )
    return error
