"""What the embedded data set shows, says and asks: drawings, grammar, geometry, captions, balance of the questions."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageChops

from ngw.data import _scenes_art as art
from ngw.data import _scenes_captions as words
from ngw.data import _scenes_compose as compose
from ngw.data import _scenes_places as places
from ngw.data import _scenes_questions as asking
from ngw.data import scenes
from ngw.errors import InputError
from ngw.seeds import rng


def noun(name):
    return next(n for n in art.nouns() if n.name == name)


def place(name):
    return next(p for p in places.PLACES if p.name == name)


LEFT, RIGHT = compose.LAYOUTS[2][0]
DOG_AND_CARS = compose.Scene(
    (compose.Group(noun("dog"), 1, "large", LEFT), compose.Group(noun("car"), 2, "", RIGHT)), place("beach")
)


@pytest.fixture(scope="module")
def described():
    """What is said of 2,000 scenes of one split, undrawn."""
    return [scenes.describe(compose.sample(0, "train", i), 0, "train", i) for i in range(2000)]


# Nouns and drawings


def test_there_are_about_280_nouns_each_with_its_own_name_and_drawing():
    nouns = art.nouns()
    assert 270 <= len(nouns) <= 300
    assert len({n.name for n in nouns}) == len({n.character for n in nouns}) == len(nouns)
    assert all(n.name == n.name.lower() for n in nouns)
    assert {"animal", "food item", "plant", "vehicle", "musical instrument", "building"} <= {n.category for n in nouns}


def test_every_drawing_is_there_and_not_empty():
    for character in [*(n.character for n in art.nouns()), *compose.DISTRACTORS]:
        assert max(art.sprite(character, 24).size) >= 12, character


def test_a_drawing_that_openmoji_lacks_is_named():
    with pytest.raises(InputError, match=r"0041\.svg: expected the drawing of A, found none"):
        art.sprite("A")


@pytest.mark.parametrize(
    ("one", "many"),
    [
        *[
            ("dog", "dogs"),
            ("sheep", "sheep"),
            ("fox", "foxes"),
            ("fly", "flies"),
            ("donkey", "donkeys"),
            ("bus", "buses"),
        ],
        *[("slice of pizza", "slices of pizza"), ("loaf of bread", "loaves of bread"), ("tomato", "tomatoes")],
        *[("piano keyboard", "piano keyboards"), ("mouse", "mice"), ("juice box", "juice boxes"), ("bench", "benches")],
    ],
)
def test_plurals(one, many):
    assert art.plural(one) == many


def test_articles():
    assert [art.article(word) for word in ("dog", "owl", "unicorn")] == ["a dog", "an owl", "a unicorn"]


# Scenes


def test_a_relation_is_what_the_picture_shows():
    dog, cars = DOG_AND_CARS.groups
    assert compose.relation(dog, cars) == "to the left of"
    assert compose.relation(cars, dog) == "to the right of"
    upper, lower = (replace(group, box=box) for group, box in zip((dog, cars), compose.LAYOUTS[2][1], strict=True))
    assert compose.relation(upper, lower) == "above"
    assert compose.relation(lower, upper) == "below"
    assert DOG_AND_CARS.at("on the left") is dog
    assert DOG_AND_CARS.at("at the top") is None  # they stand side by side


@given(st.integers(0, 2**31), st.sampled_from(["train", "val", "test"]), st.integers(0, 999_999))
def test_a_scene_depends_on_its_address_alone(seed, split, index):
    scene = compose.sample(seed, split, index)
    assert scene == compose.sample(seed, split, index)
    assert 1 <= len(scene.groups) <= 3
    assert len({g.noun for g in scene.groups}) == len({g.box for g in scene.groups}) == len(scene.groups)
    assert scene.count() == sum(g.count for g in scene.groups)


def test_every_place_is_drawn_at_full_size_in_its_own_colours():
    pictures = {p.name: p.paint(rng(0, p.name)) for p in places.PLACES}
    assert {image.size for image in pictures.values()} == {(160, 160)}
    means = {name: np.asarray(image, float).reshape(-1, 3).mean(0) for name, image in pictures.items()}
    gaps = [np.abs(means[a] - means[b]).max() for a in means for b in means if a < b]
    assert len(means) == len(places.PLACES) >= 10
    assert min(gaps) > 3


def test_things_are_drawn_in_their_own_part_of_the_picture():
    empty = compose.draw(replace(DOG_AND_CARS, groups=()), rng(1, "x"))
    one = compose.draw(replace(DOG_AND_CARS, groups=DOG_AND_CARS.groups[:1]), rng(1, "x"))
    left, top, right, bottom = ImageChops.difference(empty, one).getbbox()
    assert right <= 90  # the dog stands on the left; its drawing may lean over the middle by a few pixels
    assert max(right - left, bottom - top) >= 60


# Captions


def test_a_scene_told_by_hand():
    dog, cars = DOG_AND_CARS.groups
    assert words.some(dog) == "a dog"
    assert words.some(dog, size=True) == "a large dog"
    assert words.some(cars, exact=True) == "two cars"
    assert words.general(cars) == "two vehicles"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    told = words.captions(DOG_AND_CARS, rng(0, "told"))
    assert len(set(told)) == 5
    assert sum("dog" in t for t in told) >= 4
    assert sum("car" in t for t in told) >= 3
    assert not any("right of the dog" in t and t.startswith("A dog") for t in told)


def test_five_different_captions_an_image_and_few_the_same_across_images(described):
    assert all(len(set(d["captions"])) == 5 for d in described)
    texts = Counter(caption for d in described for caption in d["captions"])
    assert sum(n for n in texts.values() if n > 1) < 0.02 * sum(texts.values())


def test_captions_name_only_what_is_there_and_most_of_it(described):
    named = total = 0
    for index, d in enumerate(described[:300]):
        groups = compose.sample(0, "train", index).groups
        for group in groups:
            total += 5
            named += sum(group.noun.name in c.lower() or group.noun.plural in c.lower() for c in d["captions"])
        for caption in d["captions"]:
            assert caption[0].isupper()
            assert caption.endswith(".")
            assert sum(g.noun.name in caption.lower() or g.noun.plural in caption.lower() for g in groups) >= 1
    assert 0.8 < named / total < 1


def test_numbers_in_captions_are_the_scenes(described):
    for index, d in enumerate(described[:300]):
        for group in compose.sample(0, "train", index).groups:
            if group.count > 1:
                number = words.NUMBERS[group.count]
                told = [c.lower() for c in d["captions"] if f" {group.noun.plural}" in f" {c.lower()}"]
                assert any(number in c for c in told), (group, told)


# Questions


def test_questions_of_a_scene_by_hand():
    other = compose.Scene((compose.Group(noun("car"), 1, "", compose.LAYOUTS[1][0][0]),), place("beach"))
    true, false = asking.claims(DOG_AND_CARS), asking.claims(other)
    assert "Is there a dog?" in true["is there a"]
    assert "Is there a dog?" not in false["is there a"]
    assert true["are there"] == ["Are there more than two things?"]
    assert (true["is there only"], false["is there only"]) == ([], ["Is there only one kind of thing?"])
    found = {q.text: q.answer for family in asking.open_questions(DOG_AND_CARS).values() for q in family}
    assert found == {
        "What is on the left?": "dog",
        "What is on the right?": "car",
        "What is to the left of the cars?": "dog",
        "What is to the right of the dog?": "car",
        "What animal is in the picture?": "dog",
        "What vehicle is in the picture?": "car",
        "Which thing is large?": "dog",
        "Where is this?": "beach",
    }


def test_yes_no_questions_have_the_scenes_answer_and_partners_differ(described):
    for index, d in enumerate(described[:400]):
        claims = {text for family in asking.claims(compose.sample(0, "train", index)).values() for text in family}
        asked = {q.text: q.answer for _, q, _ in d["questions"] if q.answer_type == "yes/no"}
        assert asked == {text: "yes" if text in claims else "no" for text in asked}
        partner = {q.text: q.answer for _, q, _ in described[index ^ 1]["questions"] if q.answer_type == "yes/no"}
        assert asked.keys() == partner.keys()
        assert all(asked[text] != partner[text] for text in asked)


def test_numbers_asked_for_are_the_scenes(described):
    checked = 0
    for index, d in enumerate(described[:400]):
        scene = compose.sample(0, "train", index)
        right = {art.plural(n.category): 0 for n in art.nouns()}
        right |= {art.plural(g.noun.category): scene.count(g.noun.category) for g in scene.groups}
        right |= {g.noun.plural: g.count for g in scene.groups}
        right |= {"things": scene.count(), "kinds of things": len(scene.groups)}
        for _, question, _ in d["questions"]:
            if question.answer_type == "number":
                what = question.text.removeprefix("How many ").removesuffix(" are there?")
                assert question.answer == str(right[what])
                checked += 1
    assert checked == 400


def majority(described, answer_type):
    """Accuracy of the most frequent answer a question text, over texts that are asked ten times or more."""
    answers = defaultdict(Counter)
    for d in described:
        for _, question, _ in d["questions"]:
            if question.answer_type == answer_type:
                answers[question.text][question.answer] += 1
    often = [count for count in answers.values() if sum(count.values()) >= 10]
    return sum(max(count.values()) for count in often) / sum(sum(count.values()) for count in often)


def test_the_words_alone_do_not_tell_the_answer(described):
    assert majority(described, "yes/no") == 0.5  # exactly: partners are asked alike and answer differently
    assert majority(described, "number") < 0.5
    assert majority(described, "other") < 0.2


def test_three_to_five_questions_an_image_of_all_types(described):
    assert {len(d["questions"]) for d in described} <= {3, 4, 5}
    types = Counter(q.answer_type for d in described for _, q, _ in d["questions"])
    assert set(types) == {"yes/no", "number", "other"}
    assert min(types.values()) > 0.15 * sum(types.values())


def test_ten_annotators_disagree_now_and_then_and_the_majority_is_the_answer(described):
    shares = Counter()
    for d in described:
        for _, question, answers in d["questions"]:
            assert [a["answer_id"] for a in answers] == list(range(1, 11))
            assert {a["answer_confidence"] for a in answers} <= {"yes", "maybe", "no"}
            count = Counter(a["answer"] for a in answers)
            assert count.most_common(1)[0][0] == question.answer
            shares[count[question.answer]] += 1
    assert set(shares) == {7, 8, 9, 10}
    assert 0.35 < shares[10] / sum(shares.values()) < 0.6
