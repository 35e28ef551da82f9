"""A Llama decoder for training, with Hugging Face's parameter names: its state dict is the checkpoint."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Every linear's input is a multiple of 32 and its output a multiple of 64, as int4 packing needs."""

    vocab: int
    hidden: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 32
    intermediate: int = 704
    max_positions: int = 2048
    rope_theta: float = 10000.0
    eps: float = 1e-5


class Attention(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.q_proj = nn.Linear(s.hidden, s.heads * s.head_dim, bias=False)
        self.k_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.v_proj = nn.Linear(s.hidden, s.kv_heads * s.head_dim, bias=False)
        self.o_proj = nn.Linear(s.heads * s.head_dim, s.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, _ = x.shape
        q = rotate(self.q_proj(x).view(b, t, self.s.heads, -1).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(b, t, self.s.kv_heads, -1).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(b, t, self.s.kv_heads, -1).transpose(1, 2)
        groups = self.s.heads // self.s.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(b, t, -1))
        return out


class Mlp(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(s.hidden, s.intermediate, bias=False)
        self.up_proj = nn.Linear(s.hidden, s.intermediate, bias=False)
        self.down_proj = nn.Linear(s.intermediate, s.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(s.hidden, eps=s.eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = nn.RMSNorm(s.hidden, eps=s.eps)
        self.mlp = Mlp(s)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Trunk(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab, s.hidden)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.norm = nn.RMSNorm(s.hidden, eps=s.eps)


class Llama(nn.Module):
    """Token ids [batch, time] to hidden states; `logits` ties the output to the embedding."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.shape = s
        self.model = Trunk(s)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                scale = (
                    (2 * s.layers) ** -0.5 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
                )
                nn.init.normal_(p, std=0.02 * scale if "embed" in name else s.hidden**-0.5 * scale)
        inv = s.rope_theta ** (-torch.arange(0, s.head_dim, 2, dtype=torch.float32) / s.head_dim)
        angle = torch.outer(torch.arange(s.max_positions, dtype=torch.float32), torch.cat((inv, inv)))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states [batch, time, hidden] after the last norm."""
        t = ids.shape[1]
        cos, sin = self.get_buffer("cos")[:t], self.get_buffer("sin")[:t]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.model.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.model.embed_tokens.weight)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding, half-split as in Hugging Face checkpoints; x is [batch, heads, time, head_dim]."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin
