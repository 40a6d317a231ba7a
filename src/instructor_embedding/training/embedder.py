"""The module that is trained: from packed texts to vectors, with gradients; LoRA injected and merged."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.pipeline import budget_of, encode
from instructor_embedding.errors import CheckpointError, InputError
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.model import embedder
from instructor_embedding.model.folder.read import read
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.packed import Float32, Packed
from instructor_embedding.model.t5 import Attention

PARTS = ("embedding", "layers", "head")
ADAPTER = "adapter.safetensors"  # what LoRA trains, beside the merged model, so that training resumes exactly


class Embedder(embedder.Embedder):
    """A model whose ``forward`` takes packed texts.

    Parameters
    ----------
    model : model.embedder.Embedder
        Its weights are copied, so that training never writes to a mapped file.
    """

    accepts_loss_kwargs = False

    def __init__(self, model: embedder.Embedder) -> None:
        super().__init__(model.encoder, model.head, model.tokens)
        for parameter in self.parameters():
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
            parameter.requires_grad_(True)

    def forward(self, batch: Packed) -> Tensor:
        """Return vectors, float32 of shape (n, dim): packed on CPUs, padded to the longest text elsewhere."""
        device = self.encoder.device
        if device.type == "cpu":
            return self.packed(batch)
        ids, mask = batch.padded(self.encoder.config.pad_token_id)
        return self.padded(*(torch.from_numpy(column).to(device) for column in (ids, mask, batch.skip)))

    def encode(self, pairs: Sequence[Pair]) -> Float32:
        """Encode without dropout or gradients, as the finished model will; float32 of shape (n, dim)."""
        training = self.training
        self.eval()
        rows = [window.vectors for window in encode(pairs, self.tokens, EagerBackend(self), budget_of(32), "quiet")]
        self.train(training)
        return np.concatenate([np.empty((0, self.dimension), np.float32), *rows])

    def activation_checkpointing_enable(self, **_: Any) -> None:
        """Trade time for memory; the name is what the Trainer calls."""
        self.encoder.checkpointing = True

    def set_dropout(self, rate: float) -> None:
        """Use another dropout rate than the checkpoint's, everywhere."""
        if not 0 <= rate < 1:
            raise InputError(f"dropout must be from 0 to below 1, got {rate!r}")
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = rate
            elif isinstance(module, Attention):
                module.dropout_rate = rate

    def freeze(self, components: Sequence[str]) -> None:
        """Exclude the weights of some of ``PARTS`` from training."""
        for name, parameter in self.named_parameters():
            component = "layers"
            if name.startswith(("head.", "encoder.embedding.")):
                component = "head" if name.startswith("head.") else "embedding"
            if component in components:
                parameter.requires_grad_(False)

    def add_lora(self, rank: int, alpha: float, targets: Sequence[str], seed: int = 0) -> None:
        """Freeze all weights and train low-rank adapters of the linear layers named `targets` (arXiv 2106.09685).

        The same seed gives the same first weights.

        Raises
        ------
        InputError
            A target is not a linear layer of this model.
        """
        peft = need("peft", "training with LoRA")
        known = {name.rpartition(".")[2] for name, module in self.named_modules() if isinstance(module, nn.Linear)}
        wrong = sorted(set(targets) - known)
        if wrong or not targets:
            raise InputError(
                f"lora_targets: {wrong[0] if wrong else 'none'}; this model has {', '.join(sorted(known))}"
            )
        self.requires_grad_(False)
        settings = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), lora_dropout=0.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            peft.inject_adapter_in_model(settings, self)

    @property
    def has_lora(self) -> bool:
        """Whether `add_lora` was called."""
        return any("lora_A" in name for name, _ in self.named_parameters())

    def save(self, folder: Path) -> None:
        """Write the complete model, LoRA merged, to a folder that ``INSTRUCTOR`` and sentence-transformers load."""
        write(self.finished(), folder)
        if self.has_lora:
            trained = {name: weight.detach().cpu() for name, weight in self.named_parameters() if weight.requires_grad}
            save_file(trained, str(folder / ADAPTER))

    def finished(self) -> embedder.Embedder:
        """Return the model in its present state, LoRA merged into a copy."""
        if not self.has_lora:
            return embedder.Embedder(self.encoder, self.head, self.tokens)
        merged = copy.deepcopy(self)
        layers = need("peft.tuners.tuners_utils", "training with LoRA").BaseTunerLayer
        for name, module in list(merged.named_modules()):
            if isinstance(module, layers):
                module.merge()
                merged.set_submodule(name, module.get_base_layer())
        return embedder.Embedder(merged.encoder, merged.head, self.tokens)

    def restore(self, folder: Path) -> None:
        """Load the weights that `save` wrote.

        Raises
        ------
        CheckpointError
            The folder holds another model, or no LoRA weights where this one has some.
        """
        if self.has_lora:
            if not (folder / ADAPTER).is_file():
                raise CheckpointError(f"{folder / ADAPTER} is missing; this training was not with LoRA")
            self._load(load_file(folder / ADAPTER), folder / ADAPTER)
            return
        self._load(state_of(read(folder)), folder)

    def _load(self, state: dict[str, Tensor], source: Path) -> None:
        weights = dict(self.named_parameters())
        wrong = [name for name, value in state.items() if name not in weights or weights[name].shape != value.shape]
        if wrong or not state:
            raise CheckpointError(f"{source} is of another model: {wrong[0] if wrong else 'it is empty'}")
        with torch.no_grad():
            for name, value in state.items():
                weights[name].copy_(value)

    def is_finite(self) -> bool:
        """Return True if no weight is infinite or NaN."""
        return all(bool(weight.isfinite().all()) for weight in self.parameters())

    def count(self) -> tuple[int, int]:
        """Return the number of trained weights, and of all."""
        trained = sum(weight.numel() for weight in self.parameters() if weight.requires_grad)
        return trained, sum(math.prod(weight.shape) for weight in self.parameters())


def state_of(model: embedder.Embedder) -> dict[str, Tensor]:
    """Return the weights of a model under the names that they have in an `Embedder`."""
    state = {f"encoder.{name}": value for name, value in model.encoder.state_dict().items()}
    return state | {f"head.{name}": value for name, value in model.head.state_dict().items()}
