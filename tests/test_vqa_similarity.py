"""An image's similarity to texts, by an aligner: its units, and what it adds to answers, from nothing at the start."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fusion_networks import D_A, D_B, SMALL, close, clouds, fitted, network, tokens
from scipy.sparse import csr_array

from ngw import fusion
from ngw.errors import InputError
from ngw.features.basis import Basis
from ngw.fusion import Tokens
from ngw.tasks.vqa import answerer as vqa
from ngw.tasks.vqa.similarity import Compared, Space, means

ANSWERS = ("yes", "no", "two")
TEXTS = np.array([[1.0, 0], [0, 2], [-1, 1]], np.float32)  # [answers, e]
CROSS = {"kind": "cross-attention"}


def answering(spec, **options):
    built = network(spec, **options)
    return vqa.Answerer(built, ANSWERS, 0, TEXTS if built.spec.compares else None)


class File:
    """Tokens [n, t, d] as a token file gives them, the last of each but the first item's masked."""

    def __init__(self, z, basis):
        self.z, self.basis, self.ids = z, basis, np.arange(len(z))
        self.mask = np.ones(z.shape[:2], bool)
        self.mask[1:, -1] = False

    def batch(self, rows):
        return self.z[rows].astype(np.float16), self.mask[rows]


def files():
    """Token files of 50 images of 3 tokens and 30 questions of 5."""
    x, y, _ = clouds()
    a = File(x.reshape(50, 3, -1), Basis(np.eye(D_A, dtype=np.float32), np.zeros(D_A, np.float32), 2.0))
    b = File(y.reshape(30, 5, -1), Basis(np.eye(D_B, dtype=np.float32), np.ones(D_B, np.float32), 0.5))
    return a, b


def test_with_closed_gates_and_alphas_of_1_the_answers_are_concatenations():
    batch = vqa.Batch(*tokens(), images=torch.randn(3, 2), similarity=torch.randn(3))
    cross, plain = answering(CROSS), answering({"kind": "concat"})
    assert all((part == 0).all() for part in cross.comparison.parameters())
    cross.network.logits.data.fill_(1e4)
    close(cross(batch), plain(batch))


def test_the_questions_side_starts_all_but_closed():
    assert network(CROSS).alphas() == pytest.approx({"a": 0.5, "b": 0.95})
    assert network({"kind": "gated"}, alpha=0.3).alphas() == pytest.approx({"a": 0.3, "b": 0.3})


def test_what_is_open_speaks_for_answers():
    comparison = vqa.Comparison(2, TEXTS)
    h, images, similarity = torch.tensor([[1.0, 0], [0, 2]]), torch.tensor([[3.0, 1], [1, -1]]), torch.tensor([0.5, -1])
    likeness = torch.tensor([[3.0, 2, -2], [1, -2, -2]])
    close(comparison(h, images, similarity), torch.zeros(2, 3))
    comparison.gates.data[0] = 2 / vqa.PACE
    close(comparison(h, images, similarity), torch.tensor([[1.0, 0, 0], [-2, 0, 0]]))
    comparison.gates.data[0] = 0
    comparison.gain.data.fill_(2 / vqa.PACE)
    close(comparison(h, images, similarity), 2 * likeness)
    comparison.slope.data = torch.tensor([1.0, -1])  # gains 2 + 1 and 2 - 2
    close(comparison(h, images, similarity), torch.tensor([[3.0], [0]]) * likeness)


@pytest.mark.parametrize(
    ("spec", "compares"),
    [
        (CROSS, True),
        ({**CROSS, "similarity": False}, False),
        ({**CROSS, "aligned": False}, False),
        ({"kind": "gated"}, False),
        ({"kind": "concat"}, False),
    ],
)
def test_only_an_aligned_fusion_compares(spec, compares):
    assert fusion.build(spec).compares == compares
    model = answering(spec)
    assert any("comparison" in name for name in model.trained()) == compares
    if compares:
        with pytest.raises(InputError, match="similarity: expected answers' place in the aligner's space, found none"):
            vqa.Answerer(model.network, ANSWERS, 0)
        with pytest.raises(InputError, match="similarity: expected images' place in the aligner's space, found none"):
            model(vqa.Batch(*tokens()))
    else:
        assert model(vqa.Batch(*tokens())).shape == (3, len(ANSWERS))


def test_means_of_tokens_are_in_the_features_units():
    x, y, _ = clouds()
    a, b = files()
    np.testing.assert_allclose(means(a, np.array([1, 0])), [x[3:5].mean(0) / 2, x[:3].mean(0) / 2], atol=2e-3)
    np.testing.assert_allclose(means(b, np.array([2])), [2 * (1 + y[10:14].mean(0))], rtol=2e-3)


@pytest.mark.parametrize("kind", ["procrustes", "cca"])
def test_a_similarity_is_the_aligners_in_units_of_training_images(kind, monkeypatch):
    monkeypatch.setattr("ngw.tasks.vqa.similarity.BATCH", 7)
    (a, b), aligner = files(), fitted(kind)
    space, y = Space.of(aligner, a), clouds()[1][:4]
    u, v = aligner.embed(means(a, np.arange(50)), np.concatenate([y, means(b, np.arange(30))]))
    scores = u @ v.T
    expected = (scores - scores.mean(0)) / scores.std(0)
    np.testing.assert_allclose(space.images(a, np.arange(50)) @ space.texts(y).T, expected[:, :4], atol=1e-3)
    rows = np.array([3, 0, 3, 49]), np.array([4, 4, 1, 29])
    compared = Compared.of(space, a, b, *rows)
    np.testing.assert_allclose(compared.similarity, expected[rows[0], 4 + rows[1]], atol=1e-3)
    images, similarity = compared.at(np.array([2, 3]))
    np.testing.assert_allclose(images @ space.texts(y).T, expected[[3, 49], :4], atol=1e-3)
    np.testing.assert_array_equal(similarity, compared.similarity[2:])


class Items:
    """Questions without words for it, whose answer is what the image shows: its place [n, e] in the aligner's space."""

    def __init__(self, images):
        self.images = torch.from_numpy(images)

    def batch(self, places, device="cpu", targets=None):
        n, g = len(places), torch.Generator().manual_seed(0)
        z_a, z_b = torch.randn(n, 2, D_A, generator=g), torch.randn(n, 3, D_B, generator=g)
        masks = [torch.ones(part.shape[:2], dtype=torch.bool) for part in (z_a, z_b)]
        given = None if targets is None else torch.from_numpy(targets)
        return vqa.Batch(z_a, masks[0], z_b, masks[1], given, self.images[places], torch.zeros(n))


def test_it_answers_what_the_image_shows_from_few_labels():
    """Twenty answers and sixty labels: two or three name an answer, and its text tells the rest."""
    rng = np.random.default_rng(0)
    texts = rng.standard_normal((20, 12)).astype(np.float32)
    texts *= 3 / np.linalg.norm(texts, axis=1, keepdims=True)
    shown = rng.integers(20, size=200)
    images = texts[shown] / 3 + 0.2 * rng.standard_normal((200, 12)).astype(np.float32)
    labels = SimpleNamespace(
        image_ids=np.arange(200), targets=csr_array(np.eye(20, dtype=np.float32)[shown]), rows=lambda _: np.arange(200)
    )
    options = vqa.Options(epochs=4, batch=8, learning_rate=0.01, held_out=0.25, device="cpu")
    rest = np.arange(60, 200)

    def right(texts):
        built = fusion.build({**CROSS, **SMALL}).network(Tokens(D_A), Tokens(D_B), fusion.align(fitted()), 0)
        model = vqa.Answerer(built, tuple(map(str, range(20))), 0, texts)
        vqa.fit(model, Items(images), labels, np.arange(60), options, 0)
        return (vqa.answer(model, Items(images), rest) == shown[rest]).mean()

    assert right(texts) > 0.8
    assert right(np.roll(texts, 7, axis=0)) < 0.2  # the texts of other answers


def test_the_expected_accuracy_is_that_of_answers_drawn_by_softmax(monkeypatch):
    monkeypatch.setattr(vqa, "EVALUATE", 2)
    logits, targets = torch.tensor([[0.0, 0, 0], [9, 0, 0], [0, 1, 0]]), np.array([[1, 0, 0], [0.3, 0, 0], [0, 0, 0.9]])
    sides = SimpleNamespace(
        batch=lambda places, device, targets: SimpleNamespace(places=places, targets=torch.from_numpy(targets))
    )
    found = vqa.expected(lambda batch: logits[batch.places], sides, np.array([2, 0, 1]), csr_array(targets))
    assert found == pytest.approx(float((logits.softmax(1).numpy() * targets).sum() / 3), abs=1e-6)
