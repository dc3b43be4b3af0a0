"""Results in the words of the field: CLIP_benchmark's csv, and the model-index of a Hugging Face model card."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
import yaml
from retrieval_runs import FAIR, GOOD, run

from ngw.cli import main
from ngw.record import Record

SETS = {
    "scenes": {"n_images": 8, "n_classes": 4, "metrics": {"top_1": 0.5, "top_5": 1.0, "mean_per_class": 0.25}},
    "eurosat": {"n_images": 9, "n_classes": 3, "metrics": {"top_1": 0.125, "top_5": 1.0, "mean_per_class": 0.0}},
}


def write(folder: Path, task: str, record: dict) -> Path:
    path = folder / "{method}/pairs{pairs}/{unpaired}/seed{seed}".format(**record) / "metrics" / f"{task}.json"
    Record(record).write(path)
    return path


@pytest.fixture
def runs(tmp_path) -> Path:
    """Records of two runs, the second one not converged; the first one of two tasks, and of a third beside them."""
    folder = tmp_path / "runs"
    first, _ = run("ngw", "30", 0, GOOD, unpaired="shared")
    write(folder, "retrieval", first)
    write(folder, "retrieval", run("cca", "all", 1, FAIR, "baseline", converged=False)[0])
    write(folder, "classification", {name: first[name] for name in first if name != "metrics"} | {"sets": SETS})
    write(folder, "captioning", first)
    return folder


def test_a_csv_has_clip_benchmarks_columns_and_a_row_a_result(runs, tmp_path, capsys):
    assert main(["export", str(runs), "--output", str(tmp_path / "benchmark.csv")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'benchmark.csv'}: 4 results of 2 runs\n"
    table = pandas.read_csv(tmp_path / "benchmark.csv").set_index(["task", "method", "dataset"])
    good = table.loc["zeroshot_retrieval", "ngw", "scenes"]
    # By hand: of 8 captions 5 have their image first, of 4 images 3 a caption of their own; all but one among five.
    assert good["image_retrieval_recall@1"] == 5 / 8
    assert good["text_retrieval_recall@1"] == 3 / 4
    assert good["image_retrieval_recall@5"] == 7 / 8
    assert good["text_retrieval_recall@5"] == 1
    assert good["model"] == "effnet-lite0__minilm-l6"
    assert good["pretrained"] == "scenes/ngw/pairs30/shared/seed0"
    assert good["model_fullname"] == "effnet-lite0__minilm-l6 scenes/ngw/pairs30/shared/seed0"
    assert good[["pairs", "unpaired", "seed", "converged"]].tolist() == ["30", "shared", 0, True]
    assert not table.loc["zeroshot_retrieval", "cca", "scenes"]["converged"]
    away = table.loc["zeroshot_classification", "ngw", "eurosat"]
    assert away[["acc1", "acc5", "mean_per_class_recall"]].tolist() == [0.125, 1, 0]
    assert away["trained_on"] == "scenes"
    assert pandas.isna(away["image_retrieval_recall@1"])


def test_a_model_index_is_what_the_hub_reads_of_a_card(runs, tmp_path):
    from huggingface_hub import ModelCard

    one = runs / "ngw"
    assert main(["export", str(one), "--output", str(tmp_path / "index.yaml")]) == 0
    text = (tmp_path / "index.yaml").read_text()
    card = ModelCard(f"---\nlicense: mit\n{text}---\n# A model\n").data
    assert card.model_name == "effnet-lite0__minilm-l6/scenes/ngw/pairs30/shared/seed0"
    found = {(one.task_type, one.dataset_name, one.metric_name): one for one in card.eval_results}
    assert len(found) == 6 + 3 + 3
    recall = found["image-text-retrieval", "scenes", "Image retrieval recall@1"]
    assert (recall.metric_type, recall.metric_value, recall.dataset_split) == ("recall", 5 / 8, "test")
    accuracy = found["zero-shot-image-classification", "eurosat", "Accuracy"]
    assert (accuracy.metric_type, accuracy.metric_value) == ("accuracy", 0.125)
    assert card.to_dict()["model-index"] == yaml.safe_load(text)["model-index"]  # as they write it


def test_each_run_is_a_model_and_what_did_not_settle_is_marked(runs, tmp_path):
    assert main(["export", str(runs), "--output", str(tmp_path / "index.yaml")]) == 0
    index = {entry["name"]: entry for entry in yaml.safe_load((tmp_path / "index.yaml").read_text())["model-index"]}
    assert len(index) == 2
    metrics = {name: [m for one in entry["results"] for m in one["metrics"]] for name, entry in index.items()}
    marked = {name: {m.get("args", {}).get("converged", True) for m in some} for name, some in metrics.items()}
    assert marked == {name: {"cca" not in name} for name in index}


def test_a_record_is_exported_by_itself_and_no_other_file(runs, tmp_path, refused):
    path = next(runs.rglob("ngw/**/retrieval.json"))
    assert main(["export", str(path), str(path), "--output", str(tmp_path / "one.csv")]) == 0
    assert len(pandas.read_csv(tmp_path / "one.csv")) == 1
    output = ["--output", str(tmp_path / "none.csv")]
    refused(
        ["export", str(next(runs.rglob("captioning.json"))), *output], "captioning.json: expected records (retrieval"
    )
    refused(["export", str(tmp_path / "nowhere"), *output], "nowhere: expected records", "name a folder of runs")
    refused(["export", str(runs), "--output", "x.json"], "x.json: expected a name that ends in .csv, .yaml or .yml")
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    refused(
        ["export", str(path), *output], "retrieval.json: expected a record, found content that differs from its digest"
    )
    assert not (tmp_path / "none.csv").exists()
