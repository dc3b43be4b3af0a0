"""Scenes as labelled images: the class of a scene is its place, or its single object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ngw.data._scenes_compose import LAYOUTS, Group, Scene, known_nouns, sample
from ngw.data._scenes_places import PLACES
from ngw.seeds import rng

KINDS = ("place", "noun")


def names(kind: str, categories: Sequence[str] | None = None) -> list[str]:
    """The classes' names in alphabetical order, which is the order of the labels."""
    return (
        sorted(place.name for place in PLACES) if kind == "place" else sorted(n.name for n in known_nouns(categories))
    )


def labelled_scene(
    seed: int, split: str, index: int, categories: Sequence[str] | None, kind: str
) -> tuple[Scene, int]:  # fmt: skip
    """The scene at an address and its label; each block of n_classes consecutive scenes has every class once.

    kind: "place", any scene in that place; "noun", a single object of that noun.
    """
    classes = names(kind, categories)
    turn, step = divmod(index, len(classes))
    label = int(rng(seed, "scenes", split, turn, "classes", kind).permutation(len(classes))[step])
    scene = sample(seed, split, index, categories)
    if kind == "place":
        return replace(scene, place=next(place for place in PLACES if place.name == classes[label])), label
    noun = next(noun for noun in known_nouns(categories) if noun.name == classes[label])
    return Scene((Group(noun, 1, scene.groups[0].size, LAYOUTS[1][0][0]),), scene.place), label
