"""Five captions of a scene, each with different content: a list, a relation, a count, a category, the main object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ngw.data._scenes_art import article, plural
from ngw.data._scenes_compose import Group, Scene, relation

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def some(group: Group, size: bool = False, exact: bool = False) -> str:
    """A group as a noun phrase: "a dog", "two large dogs"; exact: "one dog"; size: with its size, where it has one."""
    phrase = f"{group.size} {group.name}" if size and group.size else group.name
    if group.count == 1 and not exact:
        return article(phrase)
    return f"{NUMBERS[group.count]} {phrase}"


def listed(phrases: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def pick(random: np.random.Generator, *choices: str) -> str:
    """One of several wordings."""
    return choices[int(random.integers(len(choices)))]


def be(count: int) -> str:
    """ "is" or "are"."""
    return "is" if count == 1 else "are"


def everything(scene: Scene, where: str, random) -> str:
    """All objects and the place."""
    objects, verb = listed([some(g) for g in scene.groups]), be(scene.groups[0].count)
    return pick(
        random,
        f"{objects} {where}",
        f"there {verb} {objects} {where}",
        f"a picture of {objects} {where}",
        f"{where}, there {verb} {objects}",
    )


def relations(scene: Scene, random) -> str:
    """Where the objects are relative to each other, without the place; for a single kind, that it is alone."""
    first, *others = scene.groups
    if not others:
        alone = (f"nothing but {some(first)}", f"{some(first)} with nothing else around")
        together = (f"{some(first)} together", f"a group of {some(first)}", f"{some(first)} of the same kind")
        return pick(random, *(alone if first.count == 1 else together), f"only {some(first)} and nothing more")
    second = others[0]
    start = pick(
        random,
        f"{some(first)} {relation(first, second)} {some(second)}",
        f"{some(second)} {be(second.count)} {relation(second, first)} {some(first)}",
    )
    if len(others) == 1:
        return start
    third, anchor = others[1], scene.groups[int(pick(random, "0", "1"))]
    return f"{start}, with {some(third)} {relation(third, anchor)} the {anchor.name}"


def counts(scene: Scene, random) -> str:
    """The number of each object, and its size, without the place."""
    order = sorted(scene.groups, key=lambda g: (-g.count, g.noun.name))
    objects = listed([some(g, size=True, exact=True) for g in order])
    return pick(random, f"{objects}", f"one can see {objects}", f"exactly {objects}", f"the picture shows {objects}")


def general(group: Group) -> str:
    """A group by its category: "an animal", "two musical instruments"."""
    if group.count == 1:
        return article(group.noun.category)
    return f"{NUMBERS[group.count]} {plural(group.noun.category)}"


def categories(scene: Scene, where: str, random) -> str:
    """One group by its category instead of its noun, the others by their nouns, and the place."""
    hidden = scene.groups[int(random.integers(len(scene.groups)))]
    others = [some(g) for g in scene.groups if g is not hidden]
    if not others:
        category = hidden.noun.category if hidden.count == 1 else plural(hidden.noun.category)
        return pick(
            random,
            f"{general(hidden)} {where}: {some(hidden)}",
            f"the only {category} {where} {be(hidden.count)} {some(hidden)}",
            f"{some(hidden)}, the only {category} {where}",
        )
    kin = any(g.noun.category == hidden.noun.category for g in scene.groups if g is not hidden)
    word = general(hidden)
    if kin:
        word = word.replace("an ", "another ", 1) if word.startswith("an ") else word.replace("a ", "another ", 1)
        word = word if hidden.count == 1 else f"{NUMBERS[hidden.count]} other {plural(hidden.noun.category)}"
    return pick(random, f"{listed([*others, word])} {where}", f"{where}, {listed([*others, word])}")


def main_thing(scene: Scene, where: str, random) -> str:
    """The most prominent object (the largest, or the most numerous), its size, its place, and one other object."""
    order = sorted(scene.groups, key=lambda g: (-len(g.size.replace("small", "")), -g.count, g.noun.name))
    main, rest = order[0], order[1:]
    if not rest:
        return pick(
            random,
            f"{some(main, size=True)} {where}",
            f"a scene with {some(main, size=True)} {where}",
            f"{some(main, size=True)} {'stands' if main.count == 1 else 'stand'} out {where}",
        )
    other = some(rest[int(random.integers(len(rest)))])
    return pick(
        random,
        f"{some(main, size=True)} {where}, next to {other}",
        f"{some(main, size=True)} near {other} {where}",
        f"{where}, {some(main, size=True)} beside {other}",
    )


def captions(scene: Scene, random: np.random.Generator) -> list[str]:
    """Five different sentences about a scene; each mention of the place has another wording."""
    where = [str(phrase) for phrase in random.permutation(scene.place.phrases)]
    texts = [
        everything(scene, where[0], random),
        relations(scene, random),
        counts(scene, random),
        categories(scene, where[1], random),
        main_thing(scene, where[2], random),
    ]
    texts = [f"{text[0].upper()}{text[1:]}." for text in texts]
    return [texts[int(i)] for i in random.permutation(5)]
