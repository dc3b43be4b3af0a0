"""The stage export-features: cached features, or a fitted method's embeddings of them, for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from ngw import __version__
from ngw.arguments import POSITIONAL
from ngw.cli import stage
from ngw.errors import InputError, naming
from ngw.io import arrays
from ngw.io.atomic import check_apart


@stage("Write features, or a method's embeddings of them, as npy, safetensors, parquet or a datasets folder.")
def export_features(
    features: Annotated[Path, POSITIONAL, f"{arrays.FORMS}; files of results/features too"],
    output: Annotated[Path, "where they go; the ending gives the format, and no ending means a folder for `datasets`"],
    model: Annotated[Path | None, "a fitted method; its embeddings of the features are written instead"] = None,
    side: Annotated[Literal["x", "y"] | None, "the method's side of the features, if the files don't tell it"] = None,
) -> None:
    """The export-features command, which no rule runs: features for another program, with ids and card."""
    arrays.check_name(output)
    check_apart(output, features, model)
    rows = arrays.read(features)
    head = {"ngw": __version__, **{name: text for name, text in rows.metadata.items() if name != "schema"}}
    x = rows.x
    if model is not None:
        from ngw.methods import load_with_metadata

        method, known = load_with_metadata(model)
        side = side or _side(known, head.get("encoder"), model)
        with naming(str(features)):
            x = method.embed_x(x) if side == "x" else method.embed_y(x)
        head["embedded_by"] = " ".join(known[name] for name in ("method", "kind") if name in known)
    for path in arrays.write(output, rows._replace(x=x, metadata=head)):
        print(path)


def _side(known: Mapping[str, str], encoder: str | None, model: Path) -> Literal["x", "y"]:
    """The side of a method that has the features' encoder; an `InputError` unless exactly one side has it."""
    names = known.get("vision"), known.get("text")
    if encoder is None or names.count(encoder) != 1:
        raise InputError(
            f"{model}: expected a method of {encoder or 'these features, which name no encoder,'} and another encoder, "
            f"found one of {' and '.join(map(str, names))}; set --side to x or y, the side of these features."
        )
    return "x" if encoder == names[0] else "y"
