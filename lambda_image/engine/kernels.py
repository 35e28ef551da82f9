"""Which kernels compute: the native library's, or ATen's on torch. One setting decides.

`CURTAIN_KERNELS` is `native` (the default: the best that this CPU has), `native/<instruction set>`, or
`aten`.
"""

import logging
import os
from importlib.util import find_spec

from lambda_image.engine.bundle.load import Bundle
from lambda_image.engine.bundle.plan import plan
from lambda_image.engine.decoder import Decoder
from lambda_image.engine.errors import EngineError
from lambda_image.engine.native.cpu import default_threads, log_kernels
from lambda_image.engine.native.decoder import NativeDecoder
from lambda_image.engine.native.library import load

SETTING = "CURTAIN_KERNELS"

log = logging.getLogger(__name__)


def open_decoder(bundle: Bundle, *, threads: int | None = None, setting: str | None = None) -> Decoder:
    """The decoder of a bundle on the kernels that `setting` names, the environment's if it isn't given.

    Where the native library is missing, can't be loaded or knows no such architecture, but torch is there,
    ATen's kernels serve, and the log says so. EngineError where there is nothing to compute with, or where
    the library itself refuses: too little memory, too many threads.
    """
    wanted = setting or os.environ.get(SETTING) or "native"
    path, slash, isa = wanted.partition("/")
    if path not in ("native", "aten") or (path == "aten" and slash):
        raise EngineError(
            f"{SETTING}={wanted} is unknown: set it to native, native/<instruction set> or aten"
        )
    if path == "aten":
        return _aten(bundle, threads)
    try:
        load()
    except EngineError as error:
        if slash or find_spec("torch") is None:
            raise
        log.warning("NO NATIVE KERNELS (%s): serving on ATen's, which are slower", error)
        return _aten(bundle, threads)
    return native_decoder(bundle, isa=isa or None, threads=threads)


def native_decoder(bundle: Bundle, *, isa: str | None = None, threads: int | None = None) -> Decoder:
    """A decoder on the native library; `isa` as in `native.library.choose_isa`. EngineError if it can't."""
    return NativeDecoder(bundle.manifest.config, bundle.tensor, isa=isa, threads=threads)


def _aten(bundle: Bundle, threads: int | None) -> Decoder:
    if find_spec("torch") is None:
        raise EngineError(f"ATen's kernels need torch: pip install torch, or set {SETTING}=native")
    from lambda_image.engine.aten.decoder import AtenDecoder

    if threads is None:
        threads = default_threads(sum(planned.size for planned in plan(bundle.manifest.config)))
    decoder = AtenDecoder(bundle, threads=threads)
    log_kernels(decoder.kernels, threads)
    return decoder


def threads_of(decoder: Decoder) -> int:
    """How many threads compute."""
    if isinstance(decoder, NativeDecoder):
        return int(decoder.about["threads"])
    import torch

    return torch.get_num_threads()
