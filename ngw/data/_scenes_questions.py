"""Questions about scenes and their annotators' answers, balanced so that the words alone don't tell the answer.

Scenes 2k and 2k + 1 are partners: both get the same yes/no questions, whose answers differ (VQA v2's complementary
pairs, Goyal et al. 2017, section 3). So in every split each yes/no text has as many answers yes as no.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.data._scenes_art import article, plural
from ngw.data._scenes_captions import NUMBERS, pick
from ngw.data._scenes_compose import Group, Scene, relation

SIDES = ("on the left", "on the right", "at the top", "at the bottom")
DISSENT = (0.45, 0.25, 0.18, 0.12)  # shares of questions on which 0, 1, 2, 3 of the ten annotators differ


@dataclass(frozen=True)
class Question:
    """A question, its answer, and the answers of annotators who disagree."""

    text: str
    question_type: str
    answer_type: str
    answer: str
    others: tuple[str, ...]


def claims(scene: Scene) -> dict[str, list[str]]:
    """The yes/no questions with answer yes for a scene, by family."""
    groups = scene.groups
    categories = sorted({g.noun.category for g in groups})
    sides = [(side, scene.at(side)) for side in SIDES]
    return {
        "is there a": [f"Is there {article(g.noun.name)}?" for g in groups],
        "is there": [f"Is there {article(category)} in the picture?" for category in categories],
        "is there on": [f"Is there {article(g.noun.category)} {side}?" for side, g in sides if g],
        "is this": [f"Is this {scene.place.phrases[0]}?"],
        "are there": [f"Are there more than {NUMBERS[n]} things?" for n in (2, 3, 4) if scene.count() > n],
        "is there only": ["Is there only one kind of thing?"] if len(groups) == 1 else [],
    }


def yes_no(even: Scene, odd: Scene, random: np.random.Generator) -> list[tuple[str, str, str]]:
    """Two yes/no questions on which partners differ: (text, question type, answer for the even one)."""
    mine, other = claims(even), claims(odd)
    families = {}
    for family in mine:
        yes = [(text, family, "yes") for text in mine[family] if text not in other[family]]
        no = [(text, family, "no") for text in other[family] if text not in mine[family]]
        if yes or no:
            families[family] = yes + no
    chosen = random.permutation(len(families))[:2]
    lists = list(families.values())
    return [lists[int(i)][int(random.integers(len(lists[int(i)])))] for i in chosen]


def numbers(scene: Scene, absent: list[str], random: np.random.Generator) -> Question:
    """A question for a number: of all objects, of kinds, of a category (sometimes an absent one), of a noun."""
    weights = np.array([g.count for g in scene.groups], float)
    group = scene.groups[int(random.choice(len(scene.groups), p=weights / weights.sum()))]
    category = group.noun.category
    if random.random() < 0.25:
        category = absent[int(random.integers(len(absent)))]
    kind = pick(random, "things", "kinds", "category", "category", "noun", "noun")
    text, number = {
        "things": ("How many things are there?", scene.count()),
        "kinds": ("How many kinds of things are there?", len(scene.groups)),
        "category": (f"How many {plural(category)} are there?", scene.count(category)),
        "noun": (f"How many {group.noun.plural} are there?", group.count),
    }[kind]
    near = tuple(str(n) for n in (number - 1, number + 1) if n >= 0)
    return Question(text, "how many", "number", str(number), near)


def naming(text: str, question_type: str, group: Group) -> Question:
    """A question whose answer is a group's noun, in the singular."""
    noun = group.noun
    return Question(text, question_type, "other", noun.name, (noun.plural, noun.category, noun.name.split(" ")[-1]))


def open_questions(scene: Scene) -> dict[str, list[Question]]:
    """All questions with a word for an answer, by family; each has one right answer."""
    groups, place = scene.groups, scene.place
    kinds = [g.noun.category for g in groups]
    largest = [g for g in groups if g.size == "large"]
    relations = [(a, b, relation(a, b)) for a in groups for b in groups if a is not b]
    alone = [(a, b, how) for a, b, how in relations if sum(how == h and b is c for _, c, h in relations) == 1]
    families = {
        "what": [naming("What is in the picture?", "what is", g) for g in groups if len(groups) == 1],
        "what is at": [naming(f"What is {side}?", "what is", g) for side in SIDES if (g := scene.at(side))],
        "what is by": [naming(f"What is {how} the {b.name}?", "what is", a) for a, b, how in alone],
        "what kind": [
            naming(f"What {g.noun.category} is in the picture?", "what", g)
            for g in groups
            if kinds.count(g.noun.category) == 1
        ],
        "which": [naming("Which thing is large?", "which", g) for g in largest if len(largest) == 1 < len(groups)],
        "where": [
            Question("Where is this?", "where is", "other", place.name, tuple(p.split(" ")[-1] for p in place.phrases))
        ],
    }
    return {family: questions for family, questions in families.items() if questions}


def questions(scene: Scene, partner: Scene, is_even: bool, shared: np.random.Generator, own: np.random.Generator):
    """The questions about a scene, at most five. `shared` must have the same state for both partners."""
    even, odd = (scene, partner) if is_even else (partner, scene)
    chosen = []
    for text, question_type, answer in yes_no(even, odd, shared):
        truth = answer if is_even else {"yes": "no", "no": "yes"}[answer]
        chosen.append(Question(text, question_type, "yes/no", truth, tuple({"yes", "no"} - {truth})))
    present = {g.noun.category for g in scene.groups}
    absent = sorted({g.noun.category for g in partner.groups} - present) or sorted(present)
    chosen.append(numbers(scene, absent, own))
    families = list(open_questions(scene).values())
    for i in own.permutation(len(families))[:2]:
        chosen.append(families[int(i)][int(own.integers(len(families[int(i)])))])
    return chosen


def annotate(question: Question, random: np.random.Generator) -> list[dict]:
    """Ten annotators' answers in VQA v2's layout: at most three differ, with lower confidence."""
    others = [other for other in question.others if other != question.answer]
    dissent = int(random.choice(4, p=DISSENT)) if others else 0
    answers = [
        (others[int(random.integers(len(others)))], ("maybe", "no")[int(random.integers(2))]) for _ in range(dissent)
    ]
    answers += [(question.answer, "yes" if random.random() < 0.9 else "maybe") for _ in range(10 - dissent)]
    return [
        {"answer": answers[int(i)][0], "answer_confidence": answers[int(i)][1], "answer_id": number}
        for number, i in enumerate(random.permutation(10), start=1)
    ]
