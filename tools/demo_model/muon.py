"""Muon (Jordan et al., 2024), in float32: momentum whose update is made orthogonal by Newton-Schulz steps.

torch.optim.Muon iterates in bfloat16, which CPUs without bfloat16 units run many times slower."""

from collections.abc import Callable, Iterable
from typing import overload

import torch
from torch import Tensor

ITERATIONS = 5
A, B, C = 3.4445, -4.775, 2.0315  # the quintic of the paper: quick towards 1, not exact


class Muon(torch.optim.Optimizer):
    """For matrices only. The update's root mean square is 0.2, as is usual with AdamW, so its rates fit."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                kept = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonal(p.grad.lerp(kept, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-0.2 * group["lr"] * max(p.shape) ** 0.5)
        return None


def orthogonal(g: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are all one."""
    tall = g.shape[0] > g.shape[1]
    x = g.T if tall else g
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = A * x + (B * square + C * square @ square) @ x
    out: Tensor = x.T if tall else x
    return out
