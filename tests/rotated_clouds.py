"""A cloud and its rotated copy, for the tests of methods that know clouds by their structure."""

import numpy as np


def rotated(n=300, d=5, seed=0, decay=1.0):
    """A skewed cloud [n, d] with axes of falling lengths, its rotated copy in another order, where each row went."""
    random = np.random.default_rng(seed)
    x = random.exponential(size=(n, d)) * np.arange(d, 0, -1) ** decay
    order = random.permutation(n)
    return x, (x @ np.linalg.qr(random.standard_normal((d, d)))[0])[order], np.argsort(order)


def found(method, x, y, partner):
    """The share of rows whose nearest row of the other cloud is their own."""
    u, v = method.embed(x, y)
    return ((u @ v.T).argmax(1) == partner).mean()
