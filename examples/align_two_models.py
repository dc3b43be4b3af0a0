"""Align two frozen text encoders with a few pairs: MiniLM (a transformer) and GloVe (word vectors), in seconds.

python examples/align_two_models.py [FIGURE.png]
"""

import itertools
import sys

import numpy as np

import ngw
from ngw import encoders
from ngw.report.style import encode, new, paper

who = ("a dog", "two cats", "an old man", "a small girl", "three birds", "a farmer", "my brother", "the teacher")
does = ("sleeps", "eats bread", "reads a book", "waits for rain", "plays the piano", "looks at the moon", "runs")
where = ("in the garden", "on a boat", "under a tree", "near the school", "at the station", "by the sea")
sentences = [" ".join(words) for words in itertools.product(who, does, where)]

x = encoders.build({"kind": "transformers-text"}).encode(sentences).pooled  # [n, 384]
y = encoders.build({"kind": "glove"}).encode(sentences).pooled  # [n, 50]

budgets, methods = (5, 8, 12, 20, 40), ("ngw", "cca", "ridge")
table = ngw.compare(x, y, pairs=budgets, test=100, methods=methods)
print(table.at(12))

with paper():
    figure, ((axes,),) = new(1, 1, 4.2, 2.6)
    for method in methods:
        both = [[table.at(k).metrics[method][f"{way}_recall_1"] for way in ("i2t", "t2i")] for k in budgets]
        axes.plot(budgets, 100 * np.mean(both, axis=1), marker="o", label=method)
    axes.set(xlabel="known pairs", ylabel="R@1, mean of both ways (%)")
    axes.legend()
    with open(sys.argv[1] if len(sys.argv) > 1 else "alignment.png", "wb") as file:
        file.write(encode(figure, "png"))
