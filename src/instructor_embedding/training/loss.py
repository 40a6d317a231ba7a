"""The contrastive loss of the original, the usual in-batch form, a loss of scores, and distances to a teacher.

Shapes: N queries of the batch, M hard negatives, d dimensions. Vectors need not have unit norm; cosines are taken here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from instructor_embedding.errors import InputError, choose

FORMS = ("original", "in-batch")
DISTANCES = ("cosine", "mse", "similarity")


@dataclass(frozen=True)
class Contrast:
    """The contrastive loss of a batch of matches; ``Contrast()(query, pos, neg)`` computes it.

    With ``c(x, y)`` the cosine over the temperature, both forms are the sum of two cross entropies, means over i:

    - ``"original"`` (the code of the original's ``train.py``): `p_i` among `p_i` and all hard negatives `n_j` for
      `q_i`, and `q_i` among all queries `q_j` for `p_i`. The other positives are not negatives of a query.
    - ``"in-batch"`` (the paper's equation): `p_i` among all `p_j` and all `n_j` for `q_i`; in reverse as above.

    A batch without hard negatives has the in-batch form whatever `form` says: the original's first term would be zero.

    Parameters
    ----------
    temperature : float
        Divides the cosines; the original's README says 0.1, its authors' later commands 0.01.
    form : str
        One of ``FORMS``.
    mask_duplicates : bool
        Mask the negatives that the batch itself marks as a match: the same query or the same positive again, and a
        hard negative that is a positive of the same query elsewhere. Needs `keys`.
    margin : float, optional
        Mask the negatives that are nearer to the query (or, in reverse, to the positive) than its own partner is, by
        more than this cosine: they are likely matches that nobody marked.
    dimensions : tuple of int
        Matryoshka (arXiv 2205.13147): the loss of the vectors truncated to each of these is added.

    Examples
    --------
    >>> query, pos, neg = torch.eye(3)[:, None]
    >>> round(Contrast(temperature=0.1)(query, pos, neg).item(), 4)
    0.6931
    """

    temperature: float = 0.1
    form: str = "original"
    mask_duplicates: bool = False
    margin: float | None = None
    dimensions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        choose("loss_form", self.form, FORMS)
        if not self.temperature > 0:
            raise InputError(f"cl_temperature must be above 0, got {self.temperature!r}")

    def __call__(
        self, query: Tensor, pos: Tensor, neg: Tensor, keys: Sequence[Tensor] | None = None, mask: bool = False
    ) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        query, pos : float32 of shape (N, d)
            Row i of each belongs to match i.
        neg : float32 of shape (M, d)
            The hard negatives of all queries, in any order; M may be 0.
        keys : three int64 tensors of shape (N,), (N,) and (M,), optional
            The same number for the same text, of queries, positives and negatives.
        mask : bool
            Mask duplicates, whatever `mask_duplicates` says; for labelled texts, whose keys are their labels.

        Returns
        -------
        float32 scalar
        """
        width = query.shape[1]
        masks = _matches(keys) if (mask or self.mask_duplicates) and keys is not None else (None, None, None)
        total = query.new_zeros(())
        for dimension in (width, *(size for size in self.dimensions if size < width)):
            sides = [F.normalize(side[:, :dimension], dim=1) for side in (query, pos, neg)]
            total = total + self._at(sides, masks)
        return total

    def ranked(self, first: Tensor, second: Tensor, scores: Tensor) -> Tensor:
        """Compute the loss of scored pairs: CoSENT, which wants cosines in the order of the scores.

        ``log(1 + sum over i, j with scores[i] > scores[j] of exp(c(j) - c(i)))``, for any scale of the scores.

        Parameters
        ----------
        first, second : float32 of shape (N, d)
        scores : float32 of shape (N,)

        Returns
        -------
        float32 scalar
        """
        width = first.shape[1]
        total = first.new_zeros(())
        wrong = scores[:, None] <= scores[None]
        for dimension in (width, *(size for size in self.dimensions if size < width)):
            cosines = F.cosine_similarity(first[:, :dimension], second[:, :dimension], dim=1) / self.temperature
            gaps = (cosines[None] - cosines[:, None]).masked_fill(wrong, -torch.inf)
            total = total + torch.cat([gaps.new_zeros(1), gaps.flatten()]).logsumexp(0)
        return total

    def _at(self, sides: list[Tensor], masks: tuple[Tensor | None, ...]) -> Tensor:
        """Compute the loss of unit vectors."""
        query, pos, neg = sides
        same, hard, back = masks
        own = (query * pos).sum(1)
        towards_pos, towards_neg = query @ pos.T, query @ neg.T
        if self.form == "in-batch" or not len(neg):
            others = torch.cat(
                [self._negatives(towards_pos, own, same, True), self._negatives(towards_neg, own, hard)], 1
            )
        else:
            others = self._negatives(towards_neg, own, hard)
        forward = _cross_entropy(own / self.temperature, others)
        backward = _cross_entropy(own / self.temperature, self._negatives(towards_pos.T, own, back, True))
        return forward + backward

    def _negatives(self, cosines: Tensor, own: Tensor, match: Tensor | None, partners: bool = False) -> Tensor:
        """Divide cosines (N, M) by the temperature and mask what is not a negative; `partners`: on the diagonal."""
        out = torch.eye(len(own), dtype=torch.bool, device=own.device) if partners else None
        if match is not None:
            out = match if out is None else out | match
        if self.margin is not None:
            near = cosines.detach() > own.detach()[:, None] + self.margin
            out = near if out is None else out | near
        scores = cosines / self.temperature
        return scores if out is None else scores.masked_fill(out, -torch.inf)


def _cross_entropy(own: Tensor, others: Tensor) -> Tensor:
    """Return the mean of ``-log softmax`` of each `own` (N,) among itself and its `others` (N, M)."""
    return (torch.cat([own[:, None], others], 1).logsumexp(1) - own).mean()


def _matches(keys: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the batch itself marks as matches: of query i, positive j (N, N) and negative j (N, M); of positive
    i, query j (N, N).
    """
    query, pos, neg = keys
    same_query, same_pos = query[:, None] == query[None], pos[:, None] == pos[None]
    to_pos = _reach(same_query, same_pos)
    return to_pos, _reach(same_query, pos[:, None] == neg[None]), _reach(same_pos, same_query)


def _reach(first: Tensor, second: Tensor) -> Tensor:
    """Join two relations: i to j where some k has first[i, k] and second[k, j]."""
    return (first.float() @ second.float()) > 0


def distance(vectors: Tensor, teacher: Tensor, kind: str) -> Tensor:
    """Compare vectors with a teacher's, for distillation.

    Parameters
    ----------
    vectors : float32 of shape (N, d)
    teacher : float32 of shape (N, d)
        Of unit norm. Only ``"similarity"`` takes another number of dimensions.
    kind : str
        ``"cosine"``: one less the cosine; ``"mse"``: the squared distance; ``"similarity"``: the squared difference
        between the cosines that both give to each two rows. Means over rows or pairs of rows.

    Raises
    ------
    InputError
        `kind` is unknown.
    """
    if kind == "cosine":
        return (1 - F.cosine_similarity(vectors, teacher, dim=1)).mean()
    if kind == "mse":
        return (vectors - teacher).square().sum(1).mean()
    choose("distill_loss", kind, DISTANCES)
    student, target = F.normalize(vectors, dim=1), F.normalize(teacher, dim=1)
    return (student @ student.T - target @ target.T).square().mean()
