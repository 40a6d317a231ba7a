"""GradCache (arXiv 2101.06983): the exact gradient of a contrastive loss over any batch, in the memory of a chunk.

The loss needs all vectors at once, but the backward pass through the model needs one chunk's activations at a time:

1. a forward pass of all chunks without gradients; the state of the random generator before each is stored;
2. the loss gives the gradient of each vector;
3. each chunk has a second forward pass, with the same random state and so the same dropout, and a backward pass that
   begins with the gradients of its vectors.

That is one more forward pass, for the memory of one chunk. A batch of one chunk has the usual two passes.
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
        Tokens of a chunk. Texts of similar length share one; a longer text is a chunk of its own.
    loss_of : function
        Maps the vectors of the batch, in its order, to (the scalar to differentiate, the scalar to return).
    step : function
        Runs the backward pass from a scalar: ``Tensor.backward`` or a scaled one.

    Returns
    -------
    scalar, without gradient
    """
    orders = plan(batch.lengths, budget)
    chunks = [batch.take(order) for order in orders]
    # the index of each text's vector among the vectors of all chunks
    index = torch.from_numpy(np.argsort(np.concatenate(orders)))
    if len(chunks) == 1:
        vectors = model(chunks[0])
        goal, shown = loss_of(vectors[index.to(vectors.device)])
        step(goal)
        return shown.detach()
    states, rows = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            rows.append(model(chunk))
    after = _random_state()
    joined = torch.cat(rows).requires_grad_()
    goal, shown = loss_of(joined[index.to(joined.device)])
    goal.backward()
    gradients = _gradient(joined).split([len(chunk) for chunk in chunks])
    for number, (chunk, state, gradient) in enumerate(zip(chunks, states, gradients, strict=True)):
        _set_random_state(state)
        # (v * dL/dv).sum() has the gradient of the loss with respect to the weights; DDP reduces at the last chunk
        with _silent(model) if number < len(chunks) - 1 else nullcontext():
            step((model(chunk) * gradient).sum())
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
