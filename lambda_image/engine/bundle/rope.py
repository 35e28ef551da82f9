"""Rotary position embeddings as tables, with Llama 3.1's frequency scaling."""

import math

import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.config import ModelConfig

Floats = npt.NDArray[np.float32]


def rotary_table(config: ModelConfig, positions: int) -> tuple[Floats, Floats]:
    """cos and sin of every position's angles, each float32 [positions, head_dim / 2].

    Frequencies and angles are computed in float32, step by step as in training: half a unit in the last place
    of a frequency is 1e-4 of a turn after 4,000 tokens. Powers, cosines and sines come from float64, so that
    the tables don't depend on a CPU's float32 functions.
    """
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    powers = (config.rope_theta ** exponents.astype(np.float64)).astype(np.float32)
    frequencies = np.float32(1) / powers
    if (scaling := config.llama3_rope) is not None:
        low, high = scaling.low_freq_factor, scaling.high_freq_factor
        trained = np.float32(scaling.original_max_position_embeddings)
        turns = trained / (np.float32(2 * math.pi) / frequencies)  # of each pair over the trained context
        kept = np.clip((turns - np.float32(low)) / np.float32(high - low), 0, 1)  # 1: short wavelength, kept
        stretched = frequencies / np.float32(scaling.factor)
        frequencies = np.where(kept == 1, frequencies, (1 - kept) * stretched + kept * frequencies)
    angles = (np.arange(positions, dtype=np.float32)[:, None] * frequencies).astype(np.float64)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
