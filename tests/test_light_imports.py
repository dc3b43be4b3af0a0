"""Imports: a config, a stage's help and every stage load no library that they don't need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
HEAVY = ("torch", "torchvision", "transformers", "diffusers", "pandas", "matplotlib", "scipy", "sklearn", "pyarrow")
STAGES = ["data", "encode", "fit", "transport", "maps", "retrieval", "collate", "figures"]


def loaded(code: str) -> str:
    code = f"import sys\n{code}\nprint('LOADED', [name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.rsplit("LOADED ", 1)[1].strip()


def test_the_config_and_the_stages_load_nothing_heavy():
    assert (
        loaded(
            "import ngw, ngw.fingerprints.code, ngw.config, ngw.tasks.stages, ngw.methods, ngw.encoders, ngw.data\n"
            "for file in ('config.yaml', 'tests/config.yaml'):\n"
            f"    c = ngw.config.Config(ngw.config.read(file), {str(SCHEMA)!r})\n"
            "    ngw.config.cells(c.grid())\n"
            "ngw.fingerprints.code.fingerprint('ngw.tasks.stages:fit', 'ngw.methods.warp')"
        )
        == "[]"
    )


def test_help_of_every_stage_loads_nothing_heavy():
    code = (
        "from ngw.cli import main\n"
        f"for options in [['--help'], *([stage, '--help'] for stage in {STAGES})]:\n"
        "    try:\n        main(options)\n"
        "    except SystemExit as end:\n        assert end.code == 0"
    )
    assert loaded(code) == "[]"


@pytest.mark.parametrize(
    ("code", "libraries"),
    [
        ("import ngw.methods.contrastive, ngw.methods.sotalign, ngw.methods.structure", {"torch"}),
        ("from ngw import fusion; [fusion.build({'kind': kind}) for kind in fusion.kinds()]", {"torch"}),
        ("import ngw.dual.encoder; ngw.DualEncoder", {"torch", "transformers", "PIL"}),
        ("import ngw.data.scenes, ngw.data.coco, ngw.data.vqa2", {"torch", "pandas"}),
        ("import ngw.report.tables.retrieval, ngw.metrics.geometry", {"torch", "matplotlib", "scipy"}),
        (
            "from ngw import encoders; built = [encoders.build({'kind': kind}) for kind in encoders.kinds()]\n"
            "[one.card() for one in built if type(one).__name__ not in ('Clip', 'OpenClip', 'TransformersVision')]",
            {"torch", "transformers"},
        ),
    ],
)
def test_what_is_built_or_imported_loads_no_library_before_its_use(code, libraries):
    assert not [name for name in libraries if f"'{name}'" in loaded(code)]
