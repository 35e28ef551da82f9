"""A checkpoint's weights to a decoder in float32: what int4 is held against. Not for serving."""

from pathlib import Path

from lambda_image.engine.aten.linear import FloatLinear
from lambda_image.engine.aten.model import Llama, assemble
from lambda_image.engine.convert.checkpoint import Checkpoint


def load_reference(folder: Path) -> Llama:
    """The unquantized model of a checkpoint. CheckpointError if it can't be read."""
    checkpoint = Checkpoint(folder)
    planned = {planned.name: planned for planned in checkpoint.plan}
    return assemble(
        checkpoint.config,
        tensor=lambda name: checkpoint.rows(planned[name]),
        linear=lambda name: FloatLinear(checkpoint.rows(planned[name])),
    )
