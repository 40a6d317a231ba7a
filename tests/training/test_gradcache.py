"""GradCache gives plain autograd's gradient, dropout replayed; the packed way back gives the padded one's."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instructor_embedding import Pair
from instructor_embedding.engine.plan import plan
from instructor_embedding.training import gradcache
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import Contrast
from tests.golden.make_checkpoints import golden_model
from tests.training.conftest import triples

CONTRAST = Contrast(0.1)


@pytest.fixture(scope="module")
def built():
    model = Embedder(golden_model("gated"))
    records = triples(12)
    pairs = [record[side] for side in ("query", "pos", "neg") for record in records]
    return model, model.tokens.pack([Pair(*pair) for pair in pairs])


def loss_of(vectors):
    loss = CONTRAST(*vectors.chunk(3))
    return loss, loss


def gradients(model):
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def close(actual, expected):
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=2e-6 * gradient.abs().max().item() + 1e-9)


def plain(model, batch, budget, seed):
    """One graph over all parts, drawn in the same order: what GradCache must equal, at the cost of memory."""
    model.zero_grad()
    torch.manual_seed(seed)
    orders = plan(batch.lengths, budget)
    rows = torch.cat([model(batch.take(order)) for order in orders])
    index = torch.argsort(torch.cat([torch.from_numpy(order) for order in orders]))
    loss = CONTRAST(*rows[index].chunk(3))
    loss.backward()
    return loss.item(), gradients(model), torch.rand(1).item()


@pytest.mark.parametrize("budget", [1, 40, 150, 10_000])
@pytest.mark.parametrize("training", [True, False])
def test_equals_plain_autograd(built, budget, training):
    model, batch = built
    model.train(training)
    value, expected, next_random = plain(model, batch, budget, seed=3)
    model.zero_grad()
    torch.manual_seed(3)
    actual = gradcache.backward(model, batch, budget, loss_of)
    assert actual.item() == pytest.approx(value, rel=1e-6)
    close(gradients(model), expected)
    # the random state continues as if nothing had been replayed
    assert torch.rand(1).item() == next_random


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 400))
def test_any_budget_gives_the_same_gradient(budget):
    model = Embedder(golden_model("relu")).eval()
    batch = model.tokens.pack([Pair(*r[side]) for side in ("query", "pos", "neg") for r in triples(6)])
    _, expected, _ = plain(model, batch, 10_000, seed=0)
    model.zero_grad()
    gradcache.backward(model, batch, budget, loss_of)
    close(gradients(model), expected)


def test_dropout_is_at_work(built):
    """Without this, the test above would prove nothing about dropout."""
    model, batch = built
    model.train()
    assert plain(model, batch, 10_000, seed=1)[0] != plain(model, batch, 10_000, seed=2)[0]


def test_packed_and_padded_have_the_same_gradient(built):
    model, batch = built
    model.eval()
    _, packed, _ = plain(model, batch, 10_000, seed=0)
    model.zero_grad()
    ids, mask = map(torch.from_numpy, batch.padded())
    pooled = mask * (torch.arange(mask.shape[1]) >= torch.from_numpy(batch.skip)[:, None])
    CONTRAST(*model.head(model.encoder(ids.long(), mask), pooled).chunk(3)).backward()
    close(gradients(model), packed)


def test_checkpointing_changes_memory_alone(built):
    model, batch = built
    model.train()
    _, expected, _ = plain(model, batch, 10_000, seed=5)
    other = Embedder(copy.deepcopy(model)).train()
    other.activation_checkpointing_enable()
    _, actual, _ = plain(other, batch, 10_000, seed=5)
    close(actual, expected)


def test_gradients_of_the_original_on_a_model(reference):
    """Loss and gradient norms of the original's train.py on the reference's tiny checkpoint."""
    import json
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    from instructor_embedding.model.folder.read import read

    oracle = json.loads((reference / "oracle" / "train_oracle.json").read_text(encoding="utf-8"))["model"]
    with tempfile.TemporaryDirectory() as folder:
        script = str(reference / "make_checkpoint.py")
        subprocess.run([sys.executable, script, folder, "--shape", "tiny-relu"], check=True, capture_output=True)
        model = Embedder(read(Path(folder))).eval()
    pairs = [Pair(*triple[side]) for side in ("query", "pos", "neg") for triple in oracle["triplets"]]
    names = {
        "shared.weight": model.encoder.embedding.weight,
        "0.layer.0.SelfAttention.q.weight": model.encoder.blocks[0].attention.q.weight,
        "relative_attention_bias.weight": model.encoder.relative_bias.weight,
        "1.layer.1.DenseReluDense.wo.weight": model.encoder.blocks[1].feed_forward.wo.weight,
        "final_layer_norm.weight": model.encoder.final_norm.weight,
        "2.linear.weight": model.head.dense_layers()[0].linear.weight,
    }
    for temperature in (0.1, 0.01):
        model.zero_grad()
        loss = Contrast(temperature)(*model(model.tokens.pack(pairs)).chunk(3))
        loss.backward()
        expected = oracle[f"T={temperature}"]
        assert loss.item() == pytest.approx(expected["loss"], rel=1e-5)
        for name, norm in expected["grad_norms"].items():
            (weight,) = [weight for end, weight in names.items() if name.endswith(end)]
            assert weight.grad.norm().item() == pytest.approx(norm, rel=1e-4), name
        assert sum(weight.grad is not None for weight in model.parameters()) == expected["n_params_with_grad"]
