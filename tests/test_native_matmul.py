"""Quantization and matrix products of every instruction set this CPU has, bit for bit against plain numpy."""

import ctypes
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_image.engine.bundle.layout import GROUP, pack
from lambda_image.engine.native.build import build
from lambda_image.engine.native.library import Matrix, instruction_sets, load
from lambda_image.engine.native.target import this_machine

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.int8]

CANARY = 0xA5
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


build(this_machine())
library = load()
every_instruction_set = pytest.mark.parametrize("isa", instruction_sets())


def guarded(array: npt.NDArray[Any], *, writable: bool = False) -> npt.NDArray[Any]:
    """A copy that ends where a page without access begins, so that a read or write past it crashes at once.

    Unless writable, its own pages may only be read.
    """
    size = -(-max(array.nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, size + mmap.PAGESIZE)
    whole = np.frombuffer(pages, np.uint8)
    whole[:] = CANARY
    copy = whole[size - array.nbytes : size].view(array.dtype).reshape(array.shape)
    copy[...] = array
    address = whole.ctypes.data
    assert LIBC.mprotect(address + size, mmap.PAGESIZE, 0) == 0
    if not writable:
        assert LIBC.mprotect(address, size, mmap.PROT_READ) == 0
    return copy


def before(array: npt.NDArray[Any]) -> bytes:
    """What lies between a guarded array and the start of its first page."""
    return ctypes.string_at(
        array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE, array.ctypes.data % mmap.PAGESIZE
    )


def quantize(isa: str, x: Floats) -> tuple[Values, Floats]:
    tokens, columns = x.shape
    x = guarded(x)
    values = guarded(np.full((tokens, columns), 99, np.int8), writable=True)
    scales = guarded(np.full((tokens, columns // GROUP), 99, np.float32), writable=True)
    arguments = (x.ctypes.data, tokens, columns, values.ctypes.data, scales.ctypes.data)
    assert library.curtain_quantize(isa.encode(), *arguments) == 0
    assert set(before(values) + before(scales)) <= {CANARY}
    return values, scales


def matmul(isa: str, packed: npt.NDArray[np.uint8], rows: int, values: Values, scales: Floats) -> Floats:
    tokens, columns = values.shape
    packed, values, scales = guarded(packed), guarded(values), guarded(scales)
    y = guarded(np.full((tokens, rows), 99, np.float32), writable=True)
    matrix = Matrix(packed.ctypes.data, rows, columns)
    arguments = (matrix, values.ctypes.data, scales.ctypes.data, tokens, y.ctypes.data)
    assert library.curtain_matmul(isa.encode(), *arguments) == 0
    assert set(before(y)) <= {CANARY}
    return y


def fused(a: Floats, b: Floats, c: Floats) -> Floats:
    """a * b + c rounded once: the sum in float64 is rounded to odd, after which rounding to float32 is right.

    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
    odd" (2008).
    """
    product, addend = a.astype(np.float64) * b, c.astype(np.float64)  # the product is exact
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)  # Knuth's two-sum: exact
    even = total.view(np.int64) & 1 == 0
    odd = np.where((error != 0) & even, np.nextafter(total, np.copysign(np.inf, error)), total)
    return np.where(np.isfinite(total), odd, total).astype(np.float32)


def reference_matmul(
    weights: Values, weight_scales: Floats, bias: Floats, values: Values, scales: Floats
) -> Floats:
    sums = np.zeros((len(values), len(weights)), np.float32)
    with np.errstate(all="ignore"):  # infinities and what follows from them are compared too
        for group in range(scales.shape[1]):
            columns = slice(group * GROUP, (group + 1) * GROUP)
            products = values[:, columns].astype(np.int32) @ weights[:, columns].astype(np.int32).T
            sums = fused(products.astype(np.float32), scales[:, group, None] * weight_scales[:, group], sums)
        return sums + bias


def reference_quantize(x: Floats) -> tuple[Values, Floats]:
    groups = x.reshape(len(x), -1, GROUP)
    with np.errstate(all="ignore"):
        largest = np.abs(groups).max(-1, keepdims=True)  # a NaN stays
        inverse = np.where(largest > 0, np.float32(127) / largest, np.float32(0))
        plain = np.isfinite(largest) & np.isfinite(inverse)
        values = np.where(plain, np.rint(groups * inverse), 0).astype(np.int8)
        scales = np.where(plain, largest / np.float32(127), np.where(np.isfinite(largest), 0, np.nan))
    return values.reshape(x.shape), scales[:, :, 0].astype(np.float32)


def assert_same_bits(got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    """Equal bit for bit; a NaN equals any NaN, for architectures differ in its sign."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if got.dtype == np.float32:
        nan = np.isnan(expected)
        assert (np.isnan(got) == nan).all()
        got, expected = (np.where(nan, np.float32(0), array).view(np.int32) for array in (got, expected))
    assert (got == expected).all(), f"{(got != expected).sum()} of {got.size} differ"


def bfloat16(x: npt.NDArray[np.floating[Any]]) -> Floats:
    """Cut to what bfloat16 holds."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


Draw = Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[Any]]
WEIGHTS: dict[str, Draw] = {
    "random": lambda rng, shape: rng.integers(-8, 8, shape),
    "lowest": lambda rng, shape: np.full(shape, -8),
    "highest": lambda rng, shape: np.full(shape, 7),
    "extremes": lambda rng, shape: rng.choice([-8, 7], shape),
    "zero": lambda rng, shape: np.zeros(shape),
}
VALUES: dict[str, Draw] = {
    "random": lambda rng, shape: rng.integers(-127, 128, shape),
    "lowest": lambda rng, shape: np.full(shape, -127),
    "highest": lambda rng, shape: np.full(shape, 127),
    "extremes": lambda rng, shape: rng.choice([-127, 127], shape),
    "zero groups": lambda rng, shape: (
        rng.integers(-127, 128, shape)
        * np.repeat(rng.integers(0, 2, (shape[0], shape[1] // GROUP)), GROUP, 1)
    ),
}
SCALES: dict[str, Draw] = {  # of either sign
    "usual": lambda rng, shape: rng.standard_normal(shape) * 0.01,
    "huge": lambda rng, shape: rng.standard_normal(shape) * 1e18,
    "overflowing": lambda rng, shape: rng.standard_normal(shape) * 3e37,
    "tiny": lambda rng, shape: rng.standard_normal(shape) * 1e-19,
    "denormal": lambda rng, shape: rng.standard_normal(shape) * 1e-39,
    "any": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30, shape),
}


@every_instruction_set
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 70),
    tokens=st.integers(1, 70),
    groups=st.integers(1, 20),
    kinds=st.tuples(
        st.sampled_from(sorted(WEIGHTS)),
        st.sampled_from(sorted(VALUES)),
        *[st.sampled_from(sorted(SCALES))] * 2,
    ),
    biased=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_products_have_the_reference_bits(
    isa: str, seed: int, rows: int, tokens: int, groups: int, kinds: tuple[str, str, str, str], biased: bool
) -> None:
    rng = np.random.default_rng(seed)
    weights = WEIGHTS[kinds[0]](rng, (rows, groups * GROUP)).astype(np.int8)
    values = VALUES[kinds[1]](rng, (tokens, groups * GROUP)).astype(np.int8)
    bias = (rng.standard_normal(rows) * biased).astype(np.float32)
    with np.errstate(all="ignore"):
        weight_scales = bfloat16(SCALES[kinds[2]](rng, (rows, groups)))
        scales = np.abs(SCALES[kinds[3]](rng, (tokens, groups))).astype(np.float32)
        packed = pack(weights, weight_scales, bias)  # row sums that overflow aren't read
    got = matmul(isa, packed, rows, values, scales)
    assert_same_bits(got, reference_matmul(weights, weight_scales, bias, values, scales))


@every_instruction_set
@given(
    seed=st.integers(0, 2**32),
    tokens=st.integers(1, 20),
    groups=st.integers(1, 20),
    exponent=st.integers(-45, 38),
    zeroed=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_quantization_has_the_reference_bits(
    isa: str, seed: int, tokens: int, groups: int, exponent: int, zeroed: bool
) -> None:
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        x = (rng.standard_normal((tokens, groups, GROUP)) * 10.0**exponent).astype(np.float32)
    x[~np.isfinite(x)] = np.finfo(np.float32).max
    x[rng.random((tokens, groups)) < 0.3 * zeroed] = 0
    x = x.reshape(tokens, -1)
    values, scales = quantize(isa, x)
    expected_values, expected_scales = reference_quantize(x)
    assert_same_bits(values, expected_values)
    assert_same_bits(scales, expected_scales)
    assert np.abs(values.astype(int)).max() <= 127


@every_instruction_set
def test_ties_round_to_even(isa: str) -> None:
    x = np.full((1, GROUP), 127, np.float32)
    x[0, :6] = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5]
    values, scales = quantize(isa, x)
    assert values[0, :6].tolist() == [0, 2, 2, 0, -2, -2]
    assert scales.tolist() == [[1.0]]


@every_instruction_set
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_bad_activation_reaches_every_row(isa: str, bad: float) -> None:
    x = np.ones((3, 2 * GROUP), np.float32)
    x[1, 40] = bad
    values, scales = quantize(isa, x)
    assert np.isnan(scales).tolist() == [[False, False], [False, True], [False, False]]
    weights = np.zeros((9, 2 * GROUP), np.int8)
    y = matmul(isa, pack(weights, np.ones((9, 2), np.float32)), 9, values, scales)
    assert np.isnan(y).all(axis=1).tolist() == [False, True, False]


@every_instruction_set
def test_a_group_too_small_for_a_scale_counts_as_zeros(isa: str) -> None:
    x = np.full((1, 2 * GROUP), 3e-37, np.float32)
    x[0, GROUP:] = 4e-37
    values, scales = quantize(isa, x)
    assert values[0, :GROUP].tolist() == [0] * GROUP
    assert values[0, GROUP:].tolist() == [127] * GROUP
    assert scales[0, 0] == 0


def test_an_unknown_instruction_set_is_refused() -> None:
    x = np.zeros((1, GROUP), np.float32)
    values, scales = np.zeros((1, GROUP), np.int8), np.zeros((1, 1), np.float32)
    arguments = (x.ctypes.data, 1, GROUP, values.ctypes.data, scales.ctypes.data)
    assert library.curtain_quantize(b"altivec", *arguments) == -1


def test_portable_is_always_there() -> None:
    assert instruction_sets()[-1] == "portable"
