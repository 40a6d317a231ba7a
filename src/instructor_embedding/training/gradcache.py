"""GradCache (arXiv 2101.06983): the exact gradient of a contrastive loss over any batch, in the memory of a part of it.

The loss needs all vectors at once, but the way back through the model needs one part's inner values at a time:

1. all parts go forward without gradients; the state of the random numbers before each is kept;
2. the loss gives the gradient of each vector;
3. each part goes forward again, with the same random numbers and so the same dropout, and back with its vectors'
   gradients.

That is one forward pass more for all but the memory of a part. A batch of one part takes the usual way.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from instructor_embedding.engine.plan import plan
from instructor_embedding.model.packed import Packed

LossOf = Callable[[Tensor], tuple[Tensor, Tensor]]


def backward(
    model: nn.Module,
    batch: Packed,
    budget: int,
    loss_of: LossOf,
    step: Callable[[Tensor], None] = torch.Tensor.backward,
) -> Tensor:
    """Add the loss's gradient to the model's parameters and return the loss.

    Parameters
    ----------
    model : nn.Module
        Maps `Packed` to vectors (n, dim); may be wrapped by DistributedDataParallel, which then communicates once.
    batch : Packed
    budget : int
        Tokens of a part. Texts of similar length share a part; a longer text is a part of its own.
    loss_of : function
        Maps the vectors of the batch, in its order, to (what gradients are taken of, what is returned).
    step : function
        Goes back from a scalar, ``Tensor.backward`` or a scaled one.

    Returns
    -------
    scalar, without gradient
    """
    orders = plan(batch.lengths, budget)
    parts = [batch.take(order) for order in orders]
    # where each text's vector is once the parts' vectors are joined
    places = torch.from_numpy(np.argsort(np.concatenate(orders)))
    if len(parts) == 1:
        vectors = model(parts[0])
        goal, shown = loss_of(vectors[places.to(vectors.device)])
        step(goal)
        return shown.detach()
    states, rows = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state())
            rows.append(model(part))
    after = _random_state()
    joined = torch.cat(rows).requires_grad_()
    goal, shown = loss_of(joined[places.to(joined.device)])
    goal.backward()
    gradients = _gradient(joined).split([len(part) for part in parts])
    for number, (part, state, gradient) in enumerate(zip(parts, states, gradients, strict=True)):
        _set_random_state(state)
        with _silent(model) if number < len(parts) - 1 else nullcontext():
            step((model(part) * gradient).sum())
    _set_random_state(after)
    return shown.detach()


def _gradient(joined: Tensor) -> Tensor:
    assert joined.grad is not None
    return joined.grad


def _silent(model: nn.Module) -> AbstractContextManager[None]:
    """Keep DistributedDataParallel from communicating, where the model is wrapped by it."""
    no_sync: Callable[[], AbstractContextManager[None]] = getattr(model, "no_sync", nullcontext)
    return no_sync()


def _random_state() -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state()] if torch.cuda.is_available() else states


def _set_random_state(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
