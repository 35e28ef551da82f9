"""Rotary position embeddings, with Llama 3.1's frequency scaling."""

import math

import torch

from lambda_image.engine.bundle.config import ModelConfig


def rotary_table(config: ModelConfig, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin of every position's angles, each float32 [positions, head_dim / 2]."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    frequencies = 1.0 / config.rope_theta**exponents
    if (scaling := config.llama3_rope) is not None:
        low, high = scaling.low_freq_factor, scaling.high_freq_factor
        trained = scaling.original_max_position_embeddings
        turns = trained * frequencies / (2 * math.pi)  # of each pair over the trained context
        kept = ((turns - low) / (high - low)).clamp(0, 1)  # 1: short wavelength, kept; 0: long, stretched
        frequencies = kept * frequencies + (1 - kept) * frequencies / scaling.factor
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotates pairs (i, i + head_dim / 2) of x [tokens, heads, head_dim] by rows of the table."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
