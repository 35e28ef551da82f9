"""The ONNX graph of all-MiniLM-L6-v2, built from its tensors. Needed at set-up only.

Texts of one run have equally many tokens, so there is no padding and no attention mask. Token ids int64
[texts, n] to unit vectors float32 [texts, 384]: BERT with 6 layers and 12 heads, mean over tokens, L2 norm.

int8 means weights, not arithmetic: symmetric, one scale per output channel (per row of the word table),
expanded once when the session opens. Activations in int8 as well (onnxruntime's quantize_dynamic) put short
texts at cosine 0.98 from the original, and not at the same place on every processor; this keeps them at
0.997 or better, in the same 23 MB.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from prologue.faq.embedder import MAX_TOKENS, WIDTH

Tensors = Mapping[str, NDArray[np.float32]]

LAYERS = 6
HEADS = 12
EPSILON = 1e-12
OPSET = 20  # the first with Gelu
IR_VERSION = 10


def build_graph(tensors: Tensors, *, int8: bool) -> bytes:
    """A serialized ModelProto. `tensors`: the checkpoint's, under their Hugging Face names."""
    graph = _Graph(tensors, int8=int8)
    x = graph.embed("input_ids")
    for layer in range(LAYERS):
        x = graph.layer(x, f"encoder.layer.{layer}")
    graph.op("LpNormalization", graph.op("ReduceMean", x, "tokens", keepdims=0), out="embedding", axis=1, p=2)
    proto = helper.make_graph(
        graph.nodes,
        "all-MiniLM-L6-v2",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "n"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", WIDTH])],
        graph.constants,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


class _Graph:
    """Nodes and constants so far. Every method that adds a node returns the name of its output."""

    def __init__(self, tensors: Tensors, *, int8: bool) -> None:
        self.tensors = tensors
        self.int8 = int8
        self.nodes: list[object] = []
        self.constants: list[object] = []
        self.constant("first", np.array([0]))
        self.constant("tokens", np.array([1]))  # their axis
        self.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS]))  # 0: as it was
        self.constant("merge", np.array([0, 0, WIDTH]))
        self.constant("scale", np.array((WIDTH // HEADS) ** -0.5, np.float32))

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: object) -> str:
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def quantized(self, name: str, value: NDArray[np.float32], channel: int) -> tuple[str, str]:
        """The constants for the int8 levels of `value`, and for its scales along axis `channel`."""
        largest = np.abs(value).max(axis=1 - channel, keepdims=True)
        scale = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(127)
        levels = np.rint(value / scale).astype(np.int8)
        return self.constant(name, levels), self.constant(f"{name}_scale", scale.ravel())

    def linear(self, x: str, name: str) -> str:
        # [in, out], so that nothing stands between DequantizeLinear and MatMul and it is expanded only once
        weight = self.tensors[f"{name}.weight"].T
        if self.int8:
            matrix = self.op("DequantizeLinear", *self.quantized(f"{name}.weight", weight, channel=1), axis=1)
        else:
            matrix = self.constant(f"{name}.weight", weight)
        product = self.op("MatMul", x, matrix)
        return self.op("Add", product, self.constant(f"{name}.bias", self.tensors[f"{name}.bias"]))

    def norm(self, x: str, name: str) -> str:
        parts = [
            self.constant(f"{name}.{part}", self.tensors[f"{name}.{part}"]) for part in ("weight", "bias")
        ]
        return self.op("LayerNormalization", x, *parts, axis=-1, epsilon=EPSILON)

    def embed(self, ids: str) -> str:
        """[texts, n, WIDTH] of words and positions; every token is of segment 0."""
        name = "embeddings.word_embeddings.weight"
        if self.int8:
            table, scales = self.quantized(name, self.tensors[name], channel=0)
            levels = self.op("Cast", self.op("Gather", table, ids), to=TensorProto.FLOAT)
            last = self.constant("last", np.array([-1]))
            words = self.op("Mul", levels, self.op("Unsqueeze", self.op("Gather", scales, ids), last))
        else:
            words = self.op("Gather", self.constant(name, self.tensors[name]), ids)
        segment = self.tensors["embeddings.token_type_embeddings.weight"][0]
        places = self.tensors["embeddings.position_embeddings.weight"][:MAX_TOKENS] + segment
        positions = self.op(
            "Slice", self.constant("positions", places), "first", self.op("Shape", ids, start=1), "first"
        )
        return self.norm(self.op("Add", words, positions), "embeddings.LayerNorm")

    def layer(self, x: str, name: str) -> str:
        query, key, value = (
            self.op("Reshape", self.linear(x, f"{name}.attention.self.{part}"), "split")
            for part in ("query", "key", "value")
        )
        query = self.op("Mul", self.op("Transpose", query, perm=[0, 2, 1, 3]), "scale")
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 2, 3, 1]))  # [.., n, n]
        mixed = self.op(
            "MatMul", self.op("Softmax", scores, axis=-1), self.op("Transpose", value, perm=[0, 2, 1, 3])
        )
        merged = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), "merge")
        attended = self.linear(merged, f"{name}.attention.output.dense")
        x = self.norm(self.op("Add", x, attended), f"{name}.attention.output.LayerNorm")
        widened = self.op("Gelu", self.linear(x, f"{name}.intermediate.dense"))
        return self.norm(
            self.op("Add", x, self.linear(widened, f"{name}.output.dense")), f"{name}.output.LayerNorm"
        )
