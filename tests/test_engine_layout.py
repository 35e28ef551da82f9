"""The int4 layout: what is packed comes out again, byte for byte where the documentation says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_image.engine.bundle.layout import dequantize, gather, pack, packed_bytes, unpack


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_packing_loses_nothing(data: st.DataObject) -> None:
    rows, groups = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 5))
    values = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    quantized = values.integers(-8, 8, (rows, groups * 32), dtype=np.int8)
    bits = values.standard_normal((rows, groups)).astype(np.float32).view(np.uint32) & 0xFFFF0000
    scales, bias = bits.view(np.float32), values.standard_normal(rows).astype(np.float32)
    packed = pack(quantized, scales, bias)
    assert packed.nbytes == packed_bytes(rows, groups * 32)
    found = unpack(packed, rows, groups * 32)
    assert np.array_equal(found[0], quantized)
    assert np.array_equal(found[1], scales)
    assert np.array_equal(found[2], bias)
    wanted = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=9))
    table = dequantize(packed, rows, groups * 32)
    assert np.array_equal(
        table, (quantized.reshape(rows, groups, 32) * scales[..., None]).reshape(table.shape)
    )
    assert np.array_equal(gather(packed, groups * 32, wanted), table[wanted])


def test_each_weight_has_its_nibble() -> None:
    """The layout's own words, one weight at a time."""
    rows, columns = 16, 64
    for row, column in [(0, 0), (3, 5), (7, 21), (9, 8), (15, 31), (12, 40), (8, 63)]:
        quantized = np.zeros((rows, columns), np.int8)
        quantized[row, column] = -3
        packed = pack(quantized, np.ones((rows, columns // 32), np.float32))
        panel, block, within = row // 8, column // 32, column % 32
        byte = panel * (2 * 144 + 64) + block * 144 + (within // 8 % 2) * 64 + row % 8 * 8 + within % 8
        assert packed[byte] >> (4 if within >= 16 else 0) & 15 == 16 - 3
        sums = packed.reshape(2, -1)[panel, -64:].view(np.float32)
        assert sums[row % 8] == -3


def test_scales_are_bfloat16() -> None:
    with pytest.raises(ValueError, match="not a bfloat16"):
        pack(np.zeros((8, 32), np.int8), np.full((8, 1), 0.1, np.float32))
    with pytest.raises(IndexError, match="row 8 of 8"):
        gather(pack(np.zeros((8, 32), np.int8), np.ones((8, 1), np.float32)), 32, [0, 8])
