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


@stage("Write features, or a method's embeddings of them, as npy, safetensors, parquet or a datasets folder.")
def export_features(
    features: Annotated[Path, POSITIONAL, f"{arrays.FORMS}; those of results/features too"],
    output: Annotated[Path, "where they go; its ending says the form, and without one it is a folder for `datasets`"],
    model: Annotated[Path | None, "a fitted method, whose embeddings of the features are written instead"] = None,
    side: Annotated[Literal["x", "y"] | None, "the method's side that they are of, where its file can't tell"] = None,
) -> None:
    """The export-features command, which no rule runs: one's features to another program, with ids and card."""
    arrays.check_name(output)
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
    """The side of a method whose encoder the features are of, if that is one of its two."""
    names = known.get("vision"), known.get("text")
    if encoder is None or names.count(encoder) != 1:
        raise InputError(
            f"{model}: expected a method of {encoder or 'these features, which name no encoder,'} and another encoder, "
            f"found one of {' and '.join(map(str, names))}; say by --side whether they are its x or its y."
        )
    return "x" if encoder == names[0] else "y"
