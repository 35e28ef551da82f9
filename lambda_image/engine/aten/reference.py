"""What the fast paths are held against: a checkpoint in float32, and a bundle's weights as floats. Not for
serving."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from lambda_image.engine.aten.decoder import TorchDecoder
from lambda_image.engine.aten.linear import FloatLinear, Int8Linear, Linear, shared
from lambda_image.engine.aten.model import assemble
from lambda_image.engine.bundle.config import GROUP_SIZE
from lambda_image.engine.bundle.layout import unpack
from lambda_image.engine.bundle.load import Bundle
from lambda_image.engine.convert.checkpoint import Checkpoint


def load_reference(folder: Path) -> TorchDecoder:
    """The unquantized model of a checkpoint. CheckpointError if it can't be read."""
    checkpoint = Checkpoint(folder)
    planned = {planned.name: planned for planned in checkpoint.plan}

    def linear(name: str) -> FloatLinear:
        return FloatLinear(checkpoint.rows(planned[name]), checkpoint.bias(planned[name]))

    head = linear("head")
    tied = checkpoint.config.tie_word_embeddings
    table = head.weight if tied else checkpoint.rows(planned["embedding"])
    model = assemble(
        checkpoint.config,
        embed=lambda ids: table[list(ids)],
        vector=lambda name: checkpoint.rows(planned[name]),
        linear=lambda name: head if name == "head" else linear(name),
    )
    return TorchDecoder(model, "reference/checkpoint")


def load_dequantized(bundle: Bundle, *, int8_activations: bool) -> TorchDecoder:
    """A bundle's int4 weights as floats; the input of each matrix product rounded to int8 if asked, as the
    native kernels do."""

    def weights(name: str) -> FloatLinear:
        rows, columns = bundle.planned(name).shape
        quantized, scales, bias = unpack(bundle.packed(name), rows, columns)
        steps = torch.from_numpy(quantized).float().view(rows, -1, GROUP_SIZE)
        weight = (steps * torch.from_numpy(scales)[..., None]).view(rows, columns)
        return FloatLinear(weight, torch.from_numpy(bias.copy()))

    def linear(name: str) -> Linear:
        floats = head if name == "head" else weights(name)
        return Int8Linear(floats) if int8_activations else floats

    head = weights("head")
    config = bundle.manifest.config
    table = head.weight if config.tie_word_embeddings else weights("embedding").weight

    def embed(ids: Sequence[int]) -> torch.Tensor:
        return F.embedding(torch.tensor(ids), table)

    model = assemble(config, embed=embed, vector=lambda name: shared(bundle.vector(name)), linear=linear)
    return TorchDecoder(model, "reference/int4-int8" if int8_activations else "reference/int4")
