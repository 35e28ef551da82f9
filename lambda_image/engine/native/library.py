"""The native library from Python: `curtain.h` as ctypes, which lets other threads run during a call."""

import ctypes
import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambda_image.engine.errors import EngineError
from lambda_image.engine.native.cpu import cpu
from lambda_image.engine.native.target import COMPILED, this_machine

ABI = 2  # CURTAIN_ABI

log = logging.getLogger(__name__)


class Matrix(ctypes.Structure):
    """CurtainMatrix."""

    _fields_ = (("packed", ctypes.c_void_p), ("rows", ctypes.c_int64), ("columns", ctypes.c_int64))


class Layer(ctypes.Structure):
    """CurtainLayer."""

    _fields_ = (
        ("attention_norm", ctypes.c_void_p),
        ("qkv", Matrix),
        ("q_norm", ctypes.c_void_p),
        ("k_norm", ctypes.c_void_p),
        ("out", Matrix),
        ("mlp_norm", ctypes.c_void_p),
        ("gate_up", Matrix),
        ("down", Matrix),
        ("window", ctypes.c_int64),
    )


class Model(ctypes.Structure):
    """CurtainModel."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("hidden", "inner", "heads", "kv_heads", "head_dim")),
        *((name, ctypes.c_int64) for name in ("layers", "vocabulary", "positions")),
        ("norm_epsilon", ctypes.c_float),
        ("cosines", ctypes.c_void_p),
        ("sines", ctypes.c_void_p),
        ("layer", ctypes.POINTER(Layer)),
        ("norm", ctypes.c_void_p),
        ("embedding", Matrix),
        ("head", Matrix),
    )


@functools.cache
def load(path: Path | None = None) -> ctypes.CDLL:
    """The library with its functions' types, from `compiled/` or `path`.

    EngineError if it isn't built, or is of another version.
    """
    path = path or COMPILED / this_machine().library
    if not path.exists():
        raise EngineError(f"{path} is missing: run `make native`")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise EngineError(f"{path} can't be loaded ({error}): run `make native`") from None
    integer, long, pointer, text = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("abi", integer, []),
        ("isa", text, [integer]),
        ("open", pointer, [ctypes.POINTER(Model), text, integer, integer, text, long]),
        ("close", None, [pointer]),
        (
            "forward",
            integer,
            [pointer, pointer, long, long, pointer, pointer, long, long, pointer, pointer, integer],
        ),
        ("read_ahead", integer, [text, integer, ctypes.POINTER(long)]),
        ("profile", None, [pointer, ctypes.POINTER(ctypes.c_double)]),
        ("quantize", integer, [text, pointer, long, long, pointer, pointer]),
        ("matmul", integer, [text, Matrix, pointer, pointer, long, pointer]),
    ):
        function: Any = getattr(library, f"curtain_{name}")
        function.restype, function.argtypes = result, arguments
    if (abi := library.curtain_abi()) != ABI:
        raise EngineError(f"{path} has interface version {abi}, this is {ABI}: run `make native`")
    return library


def instruction_sets() -> list[str]:
    """What the library has for this CPU, best first; the last is "portable"."""

    def names() -> Iterator[str]:
        index = 0
        while name := load().curtain_isa(index):
            yield name.decode()
            index += 1

    return list(names())


def choose_isa(isa: str | None = None) -> str:
    """`isa`, or the best.

    EngineError with the choice there is, if this CPU hasn't it. Warns if there is nothing but "portable".
    """
    available = instruction_sets()
    if isa and isa not in available:
        raise EngineError(
            f"no instruction set {isa!r} here; there is {', '.join(available)}: "
            "CURTAIN_KERNELS=native takes the best"
        )
    if available == ["portable"]:
        _warn_of_portable()
    return isa or available[0]


@functools.cache
def _warn_of_portable() -> None:
    log.warning(
        "NO FAST KERNELS FOR THIS CPU (%s): decoding runs on the portable path, many times slower. "
        "Use a machine with AVX2, or arm64 with dot products",
        cpu()["name"],
    )
