"""The classes of a labelled data set: names, prompt templates, and the checks of both and of the labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ngw import io
from ngw.data._files import check_text, is_id, read_text
from ngw.errors import InputError

PLACE = "{}"  # stands for the name in a template
PLAIN = (PLACE,)  # the name alone, the default


@dataclass(frozen=True)
class Classes:
    """Class names and prompt templates (`{}` stands for a name). A label is a place in `names`; no names: no labels."""

    names: tuple[str, ...] = ()
    templates: tuple[str, ...] = PLAIN

    def check(self, where: str) -> Classes:
        """Return these classes; an `InputError` unless there are none, or two or more with different names."""
        if self.names:
            check_names(self.names, where)
        check_templates(self.templates, where)
        return self

    def prompts(self) -> list[str]:
        """All prompts of the first class, then of the second one, ...: [n_classes * n_templates]."""
        return [template.replace(PLACE, name) for name in self.names for template in self.templates]

    def save(self, path: str | os.PathLike) -> None:
        """Write them as a record."""
        io.write_record(path, {"names": list(self.names), "templates": list(self.templates)})

    @classmethod
    def read(cls, path: str | os.PathLike) -> Classes:
        """What `save` wrote."""
        content = io.read_record(path)
        return cls(tuple(content["names"]), tuple(content["templates"]))


def check_names(names: Sequence[Any], where: str) -> None:
    """Two names or more, each a text, none twice."""
    for n, name in enumerate(names):
        check_text(name, f"{where}: class {n}")
        if not name.strip():
            raise InputError(f"{where}: class {n}: expected a name, found {name!r}; name it, or take it out.")
    if len(names) < 2:
        raise InputError(f"{where}: expected two classes or more, found {len(names)}; add names.")
    name, times = Counter(name.strip() for name in names).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{where}: class {name!r:.80}: expected each name once, found it {times} times; give each class its own."
        )


def check_templates(templates: Any, where: str) -> None:
    """A list of texts, each with one `{}` or more, none twice."""
    if isinstance(templates, str) or not isinstance(templates, Sequence) or not templates:
        raise InputError(
            f"{where}: templates: expected a list such as ['a photo of a {{}}.'], found {templates!r:.80}."
        )
    for n, template in enumerate(templates):
        check_text(template, f"{where}: template {n}")
        if PLACE not in template:
            raise InputError(
                f"{where}: template {n}: expected {PLACE} in place of the class's name, found {template!r:.80}; add it."
            )
    template, times = Counter(templates).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{where}: template {template!r:.80}: expected once, found {times} times; remove the duplicates."
        )


def check_labels(
    labels: Mapping[str, list], classes: Classes, split_of: Mapping[int, str], source: str
) -> None:  # fmt: skip
    """Check that every image has a class's label, and that every class has a test image if any image is for testing."""
    classes.check(source)
    for image_id, split, label in zip(*(labels[name] for name in ("image_id", "split", "label")), strict=True):
        if split_of.get(image_id) != split:
            raise InputError(
                f"{source}: label of image {image_id}: expected an image of split {split!r}, found "
                f"{split_of.get(image_id, 'none')!r}; mend the labels."
            )
        if not is_id(label) or not 0 <= label < len(classes.names):
            raise InputError(
                f"{source}: image {image_id}: expected a label from 0 to {len(classes.names) - 1}, one of the "
                f"{len(classes.names)} classes, found {label!r:.80}; mend the labels, or name the class."
            )
    if not classes.names:
        return
    bare = next(iter(split_of.keys() - set(labels["image_id"])), None)
    if bare is not None:
        raise InputError(f"{source}: image {bare}: expected a label, found none; give it one, or take the image out.")
    tested = {label for split, label in zip(labels["split"], labels["label"], strict=True) if split == "test"}
    missing = [name for label, name in enumerate(classes.names) if label not in tested]
    if missing and tested:
        raise InputError(
            f"{source}: class {missing[0]!r:.80}: expected a test image or more, found none ({len(missing)} of "
            f"{len(classes.names)} classes have none); add images, or remove these classes."
        )


def read_classes(file: Path, folders: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """({folder: class name} in the order of the labels, templates), from a file or from the folders' names.

    file: a .txt with one class a line (folder, tab and name; or the folder's name; or names alone, in the order of the
    sorted folders), or a .yaml with `names` (a mapping from folders, or a list in that order) and `templates`; if it
    doesn't exist, each class has its folder's name.
    """
    if not file.is_file():
        return {name: name for name in folders}, PLAIN
    if file.suffix in (".yaml", ".yml"):
        names, templates = _of_yaml(file)
    else:
        names, templates = _of_lines(file), PLAIN
    check_templates(templates, str(file))
    if not isinstance(names, dict):
        known = set(names) & set(folders)
        if not known and len(names) != len(folders):
            raise InputError(
                f"{file}: expected a name for each of the {len(folders)} folders of classes, found {len(names)}; "
                "mend the file, or write folder and name with a tab between."
            )
        names = {name: name for name in names} if known else dict(zip(folders, names, strict=True))
    _check_folders(names, folders, file)
    check_names(list(names.values()), str(file))
    return names, tuple(templates)


def _check_folders(names: Iterable[str], folders: Sequence[str], file: Path) -> None:
    """Check that the file and the folders have the same classes."""
    for one, other, found in ((names, folders, "no such folder"), (folders, names, "a folder that the file lacks")):
        missing = [name for name in one if name not in set(other)]
        if missing:
            raise InputError(
                f"{file}: class folder {missing[0]!r:.80}: expected one line and one folder a class, found {found} "
                f"({len(missing)} such); mend the file, or the folders."
            )


def _of_lines(file: Path) -> list[str] | dict[str, str]:
    """The lines of a .txt that aren't empty, or a mapping if they have tabs."""
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    parts = [[part.strip() for part in line.split("\t")] for line in lines]
    if len({len(part) for part in parts}) > 1 or max(map(len, parts), default=1) > 2:
        raise InputError(
            f"{file}: expected lines of a folder, a tab and a name, or of names alone, found both; mend it."
        )
    twice = [name for name, times in Counter(part[0] for part in parts).items() if times > 1]
    if twice:
        raise InputError(f"{file}: class {twice[0]!r:.80}: expected each once, found it again; take one out.")
    return {part[0]: part[1] for part in parts} if parts and len(parts[0]) == 2 else lines


def _of_yaml(file: Path) -> tuple[list[str] | dict[str, str], Sequence[str]]:
    """`names` and `templates` of a .yaml."""
    try:
        content = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: expected YAML, found {' '.join(str(error).split())}; mend the file.") from None
    if not isinstance(content, dict) or not content.keys() <= {"names", "templates"}:
        raise InputError(f"{file}: expected the keys names and templates, found {content!r:.80}; mend the file.")
    names = content.get("names")
    if not isinstance(names, list | dict) or not names:
        raise InputError(
            f"{file}: names: expected a list, or a mapping of folders, found {names!r:.80}; mend the file."
        )
    for n, name in enumerate(names):
        check_text(name, f"{file}: {'folder' if isinstance(names, dict) else 'class'} {n}")
    return names, content.get("templates", PLAIN)
