"""A checkpoint's weights to a decoder in float32: what int4 is held against. Not for serving."""

from pathlib import Path

from lambda_image.engine.checkpoint import Checkpoint
from lambda_image.engine.linear import FloatLinear
from lambda_image.engine.model import Llama, assemble


def load_reference(folder: Path) -> Llama:
    """The unquantized model of a checkpoint. CheckpointError if it can't be read."""
    checkpoint = Checkpoint(folder)
    planned = {planned.name: planned for planned in checkpoint.plan}
    return assemble(
        checkpoint.config,
        tensor=lambda name: checkpoint.rows(planned[name]),
        linear=lambda name: FloatLinear(checkpoint.rows(planned[name])),
    )
