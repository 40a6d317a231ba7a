"""The loss equals the original's, values and gradients; the masks leave out what they should and nothing else."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from instructor_embedding import InputError
from instructor_embedding.training.loss import Contrast, distance


def drawn(seed, n, d):
    random = np.random.RandomState(seed)
    tensors = [torch.from_numpy(random.standard_normal((n, d)).astype(np.float32)) for _ in range(3)]
    return [tensor.requires_grad_() for tensor in tensors]


def by_hand(query, pos, neg, temperature, form="original"):
    """One row and one cosine at a time, as the formula reads."""

    def score(x, y):
        return torch.dot(x, y) / x.norm() / y.norm() / temperature

    n, total = len(query), 0
    for i in range(n):
        own = score(query[i], pos[i])
        others = [score(query[i], neg[j]) for j in range(n)]
        if form == "in-batch":
            others += [score(query[i], pos[j]) for j in range(n) if j != i]
        total += torch.logsumexp(torch.stack([own, *others]), 0) - own
        others = [score(pos[i], query[j]) for j in range(n) if j != i]
        total += torch.logsumexp(torch.stack([own, *others]), 0) - own
    return total / n


def test_values_and_gradients_of_the_original(reference):
    oracle = json.loads((reference / "oracle" / "train_oracle.json").read_text(encoding="utf-8"))
    for case in oracle["vectors"]:
        tensors = drawn(case["seed"], case["n"], case["d"])
        loss = Contrast(case["T"])(*tensors)
        loss.backward()
        assert loss.item() == pytest.approx(case["loss"], rel=1e-5)
        for name, tensor in zip(("query", "pos", "neg"), tensors, strict=True):
            assert tensor.grad.norm().item() == pytest.approx(case[f"grad_norm_{name}"], rel=2e-5, abs=1e-6)


# values of the original's loss function on drawn(seed, n, d): n, d, temperature, loss, norms of the gradients
ORIGINAL = [
    (0, 1, 4, 0.1, 2.441249370574951, (4.580636024475098, 3.421847105026245, 4.09569787979126)),
    (2, 4, 8, 0.1, 9.458137512207031, (3.365011692047119, 3.1214871406555176, 0.8027640581130981)),
    (3, 6, 8, 0.01, 72.54391479492188, (32.14278793334961, 25.020780563354492, 16.54659080505371)),
]


@pytest.mark.parametrize(("seed", "n", "d", "temperature", "loss", "norms"), ORIGINAL)
def test_known_values(seed, n, d, temperature, loss, norms):
    tensors = drawn(seed, n, d)
    actual = Contrast(temperature)(*tensors)
    actual.backward()
    assert actual.item() == pytest.approx(loss, rel=1e-5)
    assert [tensor.grad.norm().item() for tensor in tensors] == pytest.approx(norms, rel=2e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 7), st.integers(2, 9), st.integers(0, 99), st.sampled_from(["original", "in-batch"]))
def test_vectorized_equals_one_cosine_at_a_time(n, d, seed, form):
    tensors, copies = drawn(seed, n, d), drawn(seed, n, d)
    loss, expected = Contrast(0.1, form)(*tensors), by_hand(*copies, 0.1, form)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward(), expected.backward()
    for tensor, copy in zip(tensors, copies, strict=True):
        torch.testing.assert_close(tensor.grad, copy.grad, rtol=1e-3, atol=1e-4)


def test_a_duplicated_query_is_no_negative_of_itself():
    """Two triples of one query: backwards, each has no negative left; without the mask they fight each other."""
    query, pos, neg = (tensor.detach() for tensor in drawn(5, 2, 6))
    query[1] = query[0]
    keys = torch.tensor([[7, 7], [1, 2], [3, 4]])
    masked, bare = Contrast(0.1, mask_duplicates=True)(query, pos, neg, keys), Contrast(0.1)(query, pos, neg)
    forward_only = sum(
        torch.logsumexp(torch.cat([(q @ p)[None], negatives @ q]) / 0.1, 0) - q @ p / 0.1
        for q, p, negatives in (
            (F.normalize(query[i], dim=0), F.normalize(pos[i], dim=0), F.normalize(neg, dim=1)) for i in range(2)
        )
    )
    assert masked.item() == pytest.approx(forward_only.item() / 2, rel=1e-5)
    assert masked < bare


def test_masks_reach_through_a_shared_query():
    """Query 0 again at 2 with another positive: that positive is not a negative of query 0, nor is it as n_1."""
    from instructor_embedding.training.loss import _matches

    same, hard, back = _matches(torch.tensor([[5, 6, 5], [1, 2, 3], [8, 3, 9]]))
    assert same.tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    assert hard.tolist() == [[False, True, False], [False, False, False], [False, True, False]]
    assert back.tolist() == [[True, False, True], [False, True, False], [True, False, True]]


def test_distinct_texts_are_not_masked():
    tensors = [tensor.detach() for tensor in drawn(1, 5, 8)]
    keys = torch.arange(15).view(3, 5)
    for form in ("original", "in-batch"):
        assert torch.equal(Contrast(0.1, form, True)(*tensors, keys), Contrast(0.1, form)(*tensors, keys))


def test_the_margin_leaves_out_what_is_nearer_than_the_partner():
    query, pos = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    near, far = torch.tensor([[0.99, 0.14]]), torch.tensor([[0.0, 1.0]])
    assert Contrast(0.1, margin=0.1)(query, pos, near).item() == pytest.approx(0, abs=1e-6)
    assert Contrast(0.1, margin=0.5)(query, pos, near).item() > 1
    assert torch.equal(Contrast(0.1, margin=0.1)(query, pos, far), Contrast(0.1)(query, pos, far))


def test_matryoshka_adds_the_loss_of_cut_vectors():
    tensors = [tensor.detach() for tensor in drawn(3, 4, 8)]
    actual = Contrast(0.1, dimensions=(8, 4, 2))(*tensors)
    expected = sum(Contrast(0.1)(*(tensor[:, :size] for tensor in tensors)) for size in (8, 4, 2))
    torch.testing.assert_close(actual, expected)


def test_distances_to_a_teacher():
    teacher = F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    other = F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    for kind in ("cosine", "mse", "similarity"):
        assert distance(teacher, teacher, kind).item() == pytest.approx(0, abs=1e-6)
        assert distance(other, teacher, kind).item() > 0.05
    assert distance(other, teacher, "mse").item() == pytest.approx(2 * distance(other, teacher, "cosine").item())
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(2)))[0]
    assert distance(teacher @ rotation, teacher, "similarity").item() == pytest.approx(0, abs=1e-6)


def test_wrong_settings_are_told():
    with pytest.raises(InputError, match=r"loss_form='inbatch' is unknown; did you mean 'in-batch'\?"):
        Contrast(form="inbatch")
    with pytest.raises(InputError, match="cl_temperature must be above 0, got 0"):
        Contrast(temperature=0)
    with pytest.raises(InputError, match="distill_loss='cos' is unknown"):
        distance(torch.ones(1, 2), torch.ones(1, 2), "cos")


@pytest.mark.parametrize("form", ["original", "in-batch"])
@pytest.mark.parametrize("count", [0, 3, 17])
def test_any_number_of_hard_negatives(form, count):
    """They are all negatives of every query; without any, the other positives are."""
    query, pos, _ = drawn(5, 6, 8)
    many = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    unit = [F.normalize(side, dim=1) for side in (query, pos, many)]
    others = torch.cat([unit[0] @ unit[2].T] + ([unit[0] @ unit[1].T] if form == "in-batch" or not count else []), 1)
    own = (unit[0] * unit[1]).sum(1)
    columns = torch.cat([own[:, None], others], 1) / 0.1
    if others.shape[1] > count:  # the positive itself is not among the others
        columns[torch.arange(6), 1 + count + torch.arange(6)] = -torch.inf
    forward = (columns.logsumexp(1) - own / 0.1).mean()
    backward = F.cross_entropy(unit[1] @ unit[0].T / 0.1, torch.arange(6))
    assert Contrast(0.1, form)(query, pos, many).item() == pytest.approx((forward + backward).item(), rel=1e-5)


def test_labels_mask_what_shares_them():
    """Labelled texts: whatever has the query's label is not a negative, at any position of the batch."""
    query, pos, neg = drawn(1, 4, 8)
    labels = [torch.tensor(values) for values in ([0, 0, 1, 2], [0, 0, 1, 2], [1, 2, 0, 0])]
    q, p, n = (F.normalize(side, dim=1) for side in (query, pos, neg))
    total = 0.0
    for i in range(4):
        own = (q[i] @ p[i]) / 0.1
        wrong = [q[i] @ p[j] / 0.1 for j in range(4) if labels[1][j] != labels[0][i]]
        wrong += [q[i] @ n[j] / 0.1 for j in range(4) if labels[2][j] != labels[0][i]]
        total += torch.stack([own, *wrong]).logsumexp(0) - own
        wrong = [p[i] @ q[j] / 0.1 for j in range(4) if labels[0][j] != labels[1][i]]
        total += torch.stack([own, *wrong]).logsumexp(0) - own
    loss = Contrast(0.1, "in-batch")(query, pos, neg, labels, mask=True)
    assert loss.item() == pytest.approx((total / 4).item(), rel=1e-5)


def test_scored_pairs_are_ranked():
    first, second, _ = drawn(2, 7, 8)
    scores = torch.tensor([0.0, 1.0, 1.0, 3.0, 2.0, 0.5, 3.0])
    cosines = F.cosine_similarity(first, second, dim=1)
    terms = [torch.zeros(())]
    terms += [(cosines[j] - cosines[i]) / 0.05 for i in range(7) for j in range(7) if scores[i] > scores[j]]
    loss = Contrast(0.05).ranked(first, second, scores)
    assert loss.item() == pytest.approx(torch.stack(terms).logsumexp(0).item(), rel=1e-5)
    assert Contrast(0.05).ranked(first, second, scores * 100 - 7).item() == pytest.approx(loss.item())
    loss.backward()
    assert torch.isfinite(first.grad).all()
    assert Contrast(0.05).ranked(first, second, torch.ones(7)).item() == 0
    both = Contrast(0.05, dimensions=(4,)).ranked(first, second, scores)
    assert both.item() == pytest.approx((loss + Contrast(0.05).ranked(first[:, :4], second[:, :4], scores)).item())
