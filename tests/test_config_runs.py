"""The config's answers to the rules: budgets, derived methods, cells, and which runs share which jobs."""

from __future__ import annotations

import inspect
import json
import re
import sys
from types import SimpleNamespace

import pytest
from tiny_config import SCHEMA, refused, tiny

from ngw import config, encoders, registry
from ngw.config import Config
from ngw.config.batches import Batches
from ngw.config.jobs import Jobs
from ngw.errors import InputError
from ngw.tools.status import merged


def test_budgets_at_which_a_method_runs():
    good = Config(tiny("run", "pairs", value=[0, 3, 16, "all"]), SCHEMA)
    assert good.budgets("random") == ["0"]
    assert good.budgets("oracle") == ["all"]
    assert good.budgets("ridge") == ["3", "16", "all"]
    assert good.budgets("ngw") == ["16", "all"]  # four pairs at least
    assert good.budgets("ngw-raw") == ["0"]


def test_a_derived_method_is_its_base_with_other_values():
    good = Config(tiny(), SCHEMA)
    assert good.method_spec("ngw~epsilon=0.1~map=mlp") == {**good.methods["ngw"], "epsilon": 0.1, "map": "mlp"}
    assert "epsilon" not in good.methods["ngw"]


def test_cells_are_every_run_of_the_table():
    grid = {
        "datasets": ["d"],
        "encoder_pairs": [["v", "t"]],
        "methods": {"a": {"0": ["shared"]}, "b": {"3": ["shared", "disjoint"], "all": ["none"]}},
        "seeds": [0, 1],
    }
    runs = [config.RUN.format(**cell) for cell in config.cells(grid)]
    assert len(set(runs)) == len(runs) == 8
    assert runs[0] == "results/runs/d/v__t/a/pairs0/shared/seed0"


def test_a_method_runs_once_where_it_sees_no_unpaired_row():
    values = tiny()
    values["tables"]["identifiability"]["unpaired"] = "disjoint"
    checked = Config(values, SCHEMA)
    methods = checked.grid()["methods"]
    assert methods["ngw"] == {"16": ["shared", "disjoint"], "all": ["none"]}
    assert methods["ngw-raw"] == {"0": ["shared", "disjoint"]}
    assert (methods["oracle"], methods["joint"]) == ({"all": ["none"]}, {"all": ["none"]})
    assert methods["weight-averaging"] == {"0": ["none"]}  # its towers see items, never clouds
    assert checked.identifiability_grid()["methods"]["cca"] == {"16": ["disjoint"]}
    assert checked.ablation_grid()["methods"]["ngw"] == {"16": ["shared", "foreign"]}  # a panel varies it
    found = {c["fusion"]: (c["pairs"], c["unpaired"]) for c in checked.vqa.cells()}
    assert (found["ngw-fusion"], found["concat"]) == (("16", "shared"), ("0", "none"))
    found = {(c["method"], c["pairs"], c["unpaired"]) for c in checked.generation.cells()}
    assert {("ngw", "16", "shared"), ("weight-averaging", "0", "none"), ("true-latents", "all", "none")} <= found


@pytest.mark.parametrize("unpaired", [[], ["none"], ["shared", "shared"], "shared", ["apart"]])
def test_settings_are_shared_or_disjoint(unpaired):
    values = tiny()
    values["run"]["unpaired"] = unpaired
    with pytest.raises(InputError, match=r"run\.unpaired"):
        Config(values, SCHEMA)


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        ({}, ["run.foreign: expected a data set whose captions are the unpaired ones of 'scenes'", "found none"]),
        ({"scenes": "scenes"}, ["run.foreign.scenes: expected another data set, found itself"]),
        ({"scenes": "scenes-elswhere"}, ["run.foreign: data set 'scenes-elswhere'", "mean 'scenes-elsewhere'"]),
        ({"scense": "scenes-elsewhere"}, ["run.foreign: data set 'scense'", "Did you mean 'scenes'"]),
    ],
)
@pytest.mark.parametrize("table", ["run", "identifiability"])
def test_foreign_captions_are_those_of_another_data_set(foreign, words, table):
    values = tiny("run", "foreign", value=foreign)
    (values["run"] if table == "run" else values["tables"][table])["unpaired"] = (
        ["shared", "foreign"] if table == "run" else "foreign"
    )
    refused(values, *words)


def test_a_panel_of_settings_lacks_foreign_captions_where_there_are_none():
    settings = Config(tiny("run", "foreign", value={}), SCHEMA).ablation_grid()["methods"]["ngw"]["16"]
    assert settings == ["shared"]


def test_a_run_reads_foreign_captions_in_their_setting_alone():
    jobs = Jobs(Config(tiny(), SCHEMA))
    place = {"dataset": "scenes", "vision": "effnet-lite0", "text": "minilm-l6", "part": "runs"}
    file = "results/features/scenes-elsewhere/train/minilm-l6.safetensors"
    ablated, others = (SimpleNamespace(**place, method=name) for name in ("ngw~", "ngw"))
    assert (jobs.foreign("transport")(ablated), jobs.foreign("transport")(others)) == ([file], [])
    for job in (ablated, others):
        for run in json.loads(jobs.runs("transport")(job))["groups"][0]["runs"]:
            assert run["reads"] == ({"foreign": file} if run["options"]["unpaired"] == "foreign" else {})


def test_a_job_of_many_runs_fits_a_command_line():
    values = merged(config.read(SCHEMA.parents[2] / "config.yaml"), config.read(SCHEMA.parents[2] / "paper.yaml"))
    jobs = Jobs(Config(values, SCHEMA))
    place = {"dataset": "flickr30k", "vision": "dinov2-large", "text": "bge-large", "part": "runs"}
    texts = [jobs.runs(stage)(SimpleNamespace(**place, method="ngw~~")) for stage in ("maps", "retrieval")]
    assert 20_000 < max(map(len, texts)) < 100_000  # all ablations of the paper; Linux takes 131,072 bytes


def test_runs_share_a_job_by_method_or_by_budget():
    place = {"dataset": "scenes", "vision": "effnet-lite0", "text": "minilm-l6"}
    whole, cut = (Batches(Config(tiny("run", "grain", value=grain), SCHEMA)) for grain in ("method", "budget"))
    assert {*whole.names("fit")} == {"cca", "ridge", "oracle", "random", "distillation-joint", "cca~", "cca~~"}
    assert {*whole.names("transport")} == {"ngw", "ngw~map=residual", "ngw-raw", "ngw~", "ngw~~"}
    runs = whole.runs("fit", SimpleNamespace(**place, method="cca", part="runs"))
    found = [(run["pairs"], run["unpaired"]) for run in runs]
    assert sorted(found) == [("16", "disjoint"), ("16", "shared"), ("all", "none")]
    assert cut.runs("fit", SimpleNamespace(**place, method="cca", part="runs")) == runs  # seconds each
    plans = whole.runs("transport", SimpleNamespace(**place, method="ngw", part="runs"))
    parts = [cut.runs("transport", SimpleNamespace(**place, method="ngw", part=p)) for p in ("pairs16", "pairsall")]
    assert [run for part in parts for run in part] == sorted(plans, key=lambda run: run["pairs"])
    assert cut.fitted(plans[0]).endswith("/ngw/runs.maps.json")
    # What only the ablations want stands apart: a change there leaves the tables' own jobs alone.
    ablated = whole.runs("transport", SimpleNamespace(**place, method="ngw~", part="runs"))
    assert {run["method"] for run in ablated} == {"ngw", "ngw~epsilon=0.1", "ngw~unpaired_rows=1"}
    assert {run["unpaired"] for run in ablated if run["method"] == "ngw"} == {"foreign"}
    # What takes a second a run is one job for all methods, but for those of the ablations.
    assert whole.names("retrieval") == ["all~", "all~~", "all~~~"]
    assert {"ngw", "cca", "ridge~"}.isdisjoint(whole.names("classification"))
    assert {"ngw", "cca", "ngw~"} <= {*cut.names("retrieval")}
    scored = whole.runs("retrieval", SimpleNamespace(**place, method="all~", part="runs"))
    assert {"ngw", "cca", "ridge"} <= {run["method"] for run in scored}
    fused = cut.runs("fuse", SimpleNamespace(**place, fusion="concat", part="runs"))
    assert {run["labels"] for run in fused} == {"50", "all"}
    assert cut.done("fuse", fused[0]) == "results/fusions/scenes/effnet-lite0__minilm-l6/concat/runs.fuse.json"


def test_a_method_may_run_at_some_budgets_and_seeds_alone():
    values = tiny()
    values["run"]["seeds"] = [0, 1]
    values["tables"]["retrieval"]["only"] += [{"method": "cca", "pairs": ["all"]}, {"method": "ridge", "seeds": [1]}]
    values["run"].pop("unpaired")  # shared alone, by default
    found = [(c["method"], c["pairs"], c["seed"]) for c in config.cells(Config(values, SCHEMA).grid())]
    assert [c for c in found if c[0] == "cca"] == [("cca", "all", 0), ("cca", "all", 1)]
    assert [c for c in found if c[0] == "ridge"] == [("ridge", "16", 1), ("ridge", "all", 1)]
    values["tables"]["retrieval"]["only"] = [{"method": "cka"}]
    with pytest.raises(InputError, match="'cka'"):
        Config(values, SCHEMA)


def test_pictures_are_compared_by_an_image_encoder_and_judged_by_unseen_data():
    values = tiny()
    values["tables"]["generation"]["images"]["network"] = "minilm-l6"
    refused(values, "expected an image encoder", "'minilm-l6'")
    values = tiny()
    values["scorers"]["scenes-clip-anew"]["dataset"] = "scenes"
    refused(values, "expected data that no method sees", "'scenes'")
    values["scorers"]["scenes-clip-anew"] = {}
    refused(values, "expected either a model or a dataset")


def test_a_method_of_raw_items_stands_in_no_table_of_maps():
    values = tiny()
    values["tables"]["identifiability"]["methods"] = ["ngw", "joint"]
    with pytest.raises(
        InputError, match=r"'joint' reads raw items: expected no table of maps, found it in tables\.ide"
    ):
        Config(values, SCHEMA)


def test_a_teacher_is_a_jointly_trained_model_of_the_config():
    values = tiny()
    values["methods"]["distillation-joint"]["teacher"] = "jiont"
    with pytest.raises(InputError, match=r"methods\.distillation-joint\.teacher: method 'jiont' is not.* mean 'joint'"):
        Config(values, SCHEMA)
    values["methods"]["distillation-joint"]["teacher"] = "cca"
    with pytest.raises(InputError, match="expected a jointly trained model, found 'cca'"):
        Config(values, SCHEMA)


def test_methods_that_merge_the_same_towers_share_them():
    values = tiny()
    averaging = values["methods"]["weight-averaging"]
    values["methods"] |= {"matched": averaging | {"align": "ot"}, "longer": averaging | {"steps": 9}}
    names = ["weight-averaging~weight=0.25", "matched", "longer", "weight-averaging"]
    values["tables"]["retrieval"]["methods"] += [name for name in names if name != "weight-averaging"]
    raw = Config(values, SCHEMA).raw
    assert {name: raw.towers(name) for name in names} == dict.fromkeys(names, "weight-averaging") | {"longer": "longer"}
    assert set(raw.averaged()) == set(names)


def test_staged_splits_the_selected_methods_in_two():
    good = Config(tiny(), SCHEMA)
    assert good.raw.names() == ["joint", "weight-averaging"]
    for name in good.selected():
        with_plan, without = (bool(re.fullmatch(good.staged(flag), name)) for flag in (True, False))
        assert (with_plan != without) == (name not in good.raw.names())
        assert with_plan == name.startswith("ngw")


def test_a_component_file_must_define_exactly_one(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(tmp_path)])
    (tmp_path / "two_of_them.py").write_text(
        "from ngw.encoders import Encoder\nclass A(Encoder): pass\nclass B(Encoder): pass\n"
    )
    with pytest.raises(InputError, match=r"two_of_them\.py: expected one subclass of Encoder, found \['A', 'B'\]"):
        encoders.build({"kind": "two-of-them"})
    sys.modules.pop("ngw.encoders.two_of_them")


@pytest.mark.parametrize("written", [False, True], ids=["types", "text"])
@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [(int, 1, True), (int, 1, 1.0), (float | None, None, "1"), (float | None, 1, False), (bool, True, 1), (str, "", 1)],
)
def test_types_are_checked_with_and_without_postponed_annotations(annotation, good, bad, written):
    annotation = inspect.formatannotation(annotation) if written else annotation
    registry.check_type("x", good, annotation)
    with pytest.raises(InputError, match=f"x: expected .*, found {bad!r}"):
        registry.check_type("x", bad, annotation)


@pytest.mark.parametrize("annotation", [list, "Literal['a']", "int | list", inspect.Parameter.empty])
def test_other_annotations_are_left_to_the_class(annotation):
    registry.check_type("x", "anything", annotation)


def test_some_fusions_run_at_some_seeds():
    values = tiny()
    values["run"]["seeds"] = [0, 1, 2]
    values["tables"]["vqa"]["only"] = [{"fusion": "concat", "seeds": [1]}]
    seeds: dict[str, set[int]] = {}
    for cell in Config(values, SCHEMA).vqa.cells():
        seeds.setdefault(cell["fusion"], set()).add(cell["seed"])
    assert seeds["concat"] == {1}
    assert seeds["ngw-fusion"] == {0, 1, 2}


def test_judges_files_are_patterns_of_one_pair_of_encoders():
    generation = Config(tiny(), SCHEMA).generation
    found = generation.of_pair("images.json")
    assert len(found) == len(generation.cells()) == len(set(found))
    assert all(path.startswith("results/runs/{dataset}/{vision}__{text}/") for path in found)
    none = tiny()
    none["tables"]["generation"] = None
    assert Config(none, SCHEMA).generation.of_pair("images.json") == [
        "results/runs/{dataset}/{vision}__{text}/none/images.json"
    ]


def test_a_folder_is_one_source_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data" / "pictures").mkdir(parents=True)
    (tmp_path / "model").mkdir()

    def told(root, images, model):
        values = tiny("datasets", "mine", value={"kind": "folder", "root": root, "images": images})
        values["encoders"]["own"] = {"kind": "transformers-text", "model": model}
        job = Jobs(Config(values, SCHEMA))
        wildcards = SimpleNamespace(dataset="mine", encoder="own")
        sources = job.dataset_sources(wildcards) + job.encoder_sources(wildcards)
        return job.dataset_spec(wildcards), job.encoder_spec(wildcards), sources

    plain = told("my data", "pictures", "model")
    assert plain[2] == ["my data", "model"]
    assert told("my data/", "pictures/", "./model//") == told("./my data", "./pictures", "model/") == plain
    assert told("my data/../my data", "", "model")[2] == ["my data/../my data", "model"]  # `..` can follow a link
