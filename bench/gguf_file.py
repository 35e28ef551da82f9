"""The weights of a bundle as a GGUF file for llama.cpp: the same integers and the same scales as Q4_0, so
that both engines compute the same model. Runs in llama.cpp's environment.

Q4_0 is 18 bytes for 32 weights of a row: a float16 scale, then byte i with column i in the low and column 16
+ i in the high nibble, both with 8 added. A bundle's bfloat16 scale is exact in float16 from 6.2e-5 up.
llama.cpp rotates neighbouring dimensions where Hugging Face rotates halves, so rows of queries and keys are
reordered within each head.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from lambda_image.engine.bundle.layout import GROUP, PANEL, panel_bytes, unpack

SLICE = 4096  # rows at a time: 64 MB of the widest matrix here
SMALLEST = 2.0**-14  # float16's smallest normal number

MATRIX = ("offset", "rows", "columns", "head_dim")  # what says where a tensor's rows lie
Bytes = npt.NDArray[np.uint8]


def write_gguf(specification: dict[str, Any]) -> int:
    """Writes the file that `bench.llama.specify` describes; returns its size."""
    folder = Path(specification["weights"])
    writer = gguf.GGUFWriter(specification["out"], "llama")
    _describe(writer, specification)
    for tensor in specification["tensors"]:
        if "values" in tensor:
            writer.add_tensor_info(
                tensor["name"], [len(tensor["values"])], np.dtype(np.float32), 4 * len(tensor["values"])
            )
        else:
            shape = (tensor["rows"], tensor["columns"] // GROUP * 18)
            writer.add_tensor_info(
                tensor["name"],
                shape,
                np.dtype(np.uint8),
                shape[0] * shape[1],
                gguf.GGMLQuantizationType.Q4_0,
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in specification["tensors"]:
        if "values" in tensor:
            writer.write_tensor_data(np.array(tensor["values"], np.float32))
        else:
            weights = np.memmap(folder / tensor["file"], np.uint8, "r")
            writer.write_tensor_data(_q4_0(weights, **{key: tensor[key] for key in MATRIX}))
    writer.close()
    return Path(specification["out"]).stat().st_size


def _q4_0(weights: Bytes, offset: int, rows: int, columns: int, head_dim: int) -> Bytes:
    """Q4_0 bytes [rows, columns / 32 * 18]; `head_dim` 0: rows keep their order."""
    blocks = np.empty((rows, columns // GROUP, 18), np.uint8)
    for start in range(0, rows, SLICE):
        stop = min(start + SLICE, rows)
        first = offset + start // PANEL * panel_bytes(columns)
        panels = weights[first : first + -(-(stop - start) // PANEL) * panel_bytes(columns)]
        quantized, scales, _ = unpack(panels, stop - start, columns)
        if np.abs(scales).min() < SMALLEST:
            raise SystemExit("a scale is too small for Q4_0's float16")
        unsigned = (quantized + 8).astype(np.uint8).reshape(stop - start, -1, 2, 16)
        blocks[start:stop, :, :2] = scales.astype("<f2")[..., None].view(np.uint8)
        blocks[start:stop, :, 2:] = unsigned[:, :, 0] | unsigned[:, :, 1] << 4
    if head_dim:
        blocks = blocks.reshape(-1, 2, head_dim // 2, *blocks.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(blocks).reshape(rows, -1)


def _describe(writer: gguf.GGUFWriter, specification: dict[str, Any]) -> None:
    config = specification["config"]
    writer.add_name("random")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(specification["tokens"])
    writer.add_token_types(specification["token_types"])
    writer.add_token_merges(specification["merges"])
    writer.add_eos_token_id(specification["eos"])
