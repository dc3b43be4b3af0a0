"""An image's similarity to its question: what it adds to answers, through gates that start closed, and its units."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fusion_networks import close, clouds, fitted, network, tokens

from ngw import fusion
from ngw.errors import InputError
from ngw.features.basis import Basis
from ngw.tasks.vqa import answerer as vqa
from ngw.tasks.vqa.labels import held_out
from ngw.tasks.vqa.similarity import means, similarity

ANSWERS = ("yes", "no", "two")


def answering(spec, **options):
    return vqa.Answerer(network(spec, **options), ANSWERS, 0)


class File:
    """Tokens [n, t, d] as a token file gives them, the last of each but the first item's masked."""

    def __init__(self, z, basis):
        self.z, self.basis = z, basis
        self.mask = np.ones(z.shape[:2], bool)
        self.mask[1:, -1] = False

    def batch(self, rows):
        return self.z[rows].astype(np.float16), self.mask[rows]


def test_with_closed_gates_and_alphas_of_1_the_answers_are_concatenations():
    batch = vqa.Batch(*tokens(), similarity=torch.randn(3))
    cross, plain = answering({"kind": "cross-attention"}), answering({"kind": "concat"})
    assert (cross.comparison.gates == 0).all()
    cross.network.logits.data.fill_(1e4)
    close(cross(batch), plain(batch))


def test_the_questions_side_starts_all_but_closed():
    assert network({"kind": "cross-attention"}).alphas() == pytest.approx({"a": 0.5, "b": 0.95})
    assert network({"kind": "gated"}, alpha=0.3).alphas() == pytest.approx({"a": 0.3, "b": 0.3})


def test_an_open_gate_speaks_for_its_answer_in_units_of_the_spread():
    model, given = answering({"kind": "cross-attention"}), tokens()
    without = model(vqa.Batch(*given, similarity=torch.zeros(3)))
    model.start_from(np.full(3, 0.5, np.float32), torch.tensor([0.1, 0.3]))  # mean 0.2, spread 0.1
    start = model(vqa.Batch(*given, similarity=torch.zeros(3)))
    model.comparison.gates.data[0] = 2 / vqa.PACE
    change = model(vqa.Batch(*given, similarity=torch.tensor([0.2, 0.3, 0.0]))) - start
    close(change, torch.tensor([[0.0, 0, 0], [2, 0, 0], [-4, 0, 0]]), 1e-4)
    assert (start - without).abs().max() > 0  # the classifier's start


@pytest.mark.parametrize(
    ("spec", "compares"),
    [
        ({"kind": "cross-attention"}, True),
        ({"kind": "cross-attention", "similarity": False}, False),
        ({"kind": "cross-attention", "aligned": False}, False),
        ({"kind": "gated"}, False),
        ({"kind": "concat"}, False),
    ],
)
def test_only_an_aligned_fusion_compares(spec, compares):
    assert fusion.build(spec).compares == compares
    model = answering(spec)
    assert (model.comparison is not None) == compares
    if compares:
        with pytest.raises(InputError, match="similarity: expected that of images and questions, found none"):
            model(vqa.Batch(*tokens()))
    else:
        assert model(vqa.Batch(*tokens())).shape == (3, len(ANSWERS))


def test_a_similarity_is_the_aligners_cosine_of_the_tokens_means():
    x, y, _ = clouds()
    a = File(x[:12].reshape(4, 3, -1), Basis(np.eye(6, dtype=np.float32), np.zeros(6, np.float32), 2.0))
    b = File(y[:20].reshape(5, 4, -1), Basis(np.eye(5, dtype=np.float32), np.ones(5, np.float32), 0.5))
    np.testing.assert_allclose(means(a, np.array([1, 0])), [x[3:5].mean(0) / 2, x[:3].mean(0) / 2], atol=2e-3)
    np.testing.assert_allclose(means(b, np.array([2])), [2 * (1 + y[8:11].mean(0))], rtol=2e-3)
    rows = np.array([3, 0, 3]), np.array([4, 4, 1])
    u, v = fitted().embed(means(a, rows[0]), means(b, rows[1]))
    np.testing.assert_allclose(similarity(fitted(), a, b, *rows), (u * v).sum(1), atol=1e-6)


def test_units_come_from_the_training_questions_that_are_not_held_out():
    n, images = 40, np.arange(40)
    z_a, mask_a, z_b, mask_b = (part.repeat(14, 1, 1)[:n] if part.ndim == 3 else part.repeat(14, 1)[:n]
                                for part in tokens())  # fmt: skip
    from scipy.sparse import csr_array

    held = held_out(images, 0.25, 0)
    labels = SimpleNamespace(
        image_ids=images, targets=csr_array(np.eye(3, dtype=np.float32)[images % 3]), rows=lambda split: images
    )
    similarities = torch.where(torch.from_numpy(held), 1e6, torch.arange(n) / n).float()

    class Items:
        def batch(self, places, device="cpu", targets=None):
            given = None if targets is None else torch.from_numpy(targets)
            return vqa.Batch(z_a[places], mask_a[places], z_b[places], mask_b[places], given, similarities[places])

    model = answering({"kind": "cross-attention"})
    options = vqa.Options(epochs=1, batch=8, held_out=0.25, device="cpu")
    vqa.fit(model, Items(), labels, images, options, 0)
    own = similarities[~held]
    close(torch.stack([model.comparison.mean, model.comparison.spread]),
          torch.stack([own.mean(), own.std(correction=0)]))  # fmt: skip
    assert (model.comparison.gates != 0).any()
