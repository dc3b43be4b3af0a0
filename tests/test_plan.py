"""What a config will ask for: by constants, by finished jobs, and how these grow with the images."""

from __future__ import annotations

import math

import pytest

from ngw.errors import InputError
from ngw.tools import plan
from ngw.tools.measured import RESIDENT, START, Cost, Work, predict, read
from ngw.tools.sizes import OFFICIAL, Size, size

COCO = OFFICIAL["coco"]
HALF = Size(*(n // 2 for n in COCO))
HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def table(jobs, known=()):
    """{rule: its line's words}."""
    return {line.split()[0]: line.split()[1:] for line in plan.lines(jobs, known)[1:]}


def test_hours_follow_the_images_as_the_rule_does():
    jobs = [Work("transport", "ngw", name, 1, size) for name, size in (("coco", COCO), ("half", HALF))]
    row = table(jobs)["transport"]
    assert row[:2] == ["2", "0"]
    assert float(row[3]) == pytest.approx(1.25 * plan.JOBS["transport"].cpu, abs=0.06)  # half the images: a quarter
    assert table(jobs)["all"][0] == "2"


def test_the_rest_of_a_rule_is_told_by_its_jobs_that_are_done():
    done = Work("transport", "ngw", "coco", 2, COCO, Cost(START + 7200, START + 14400, RESIDENT + 4))
    jobs = [done, Work("transport", "ngw", "half", 1, HALF), Work("fit", "cca", "coco", 1, COCO)]
    text = {line.split()[0]: line for line in plan.lines(jobs)}
    row = text["transport"].split()
    assert row[1:3] == ["2", "1"]
    # Four core hours of two runs at COCO's size, a quarter of one's at half of it.
    assert float(row[4]) == pytest.approx(4.5, abs=0.06)
    assert float(row[5]) == pytest.approx(2.0, abs=0.01)  # the longest's hours: the one that is done
    assert text["transport"].endswith("measured; 1 by finished jobs")
    assert text["fit"].endswith(plan.JOBS["fit"].source)
    left = text["left"].split()
    assert left[3] == "2"
    assert float(left[6]) == pytest.approx(0.5 + plan.JOBS["fit"].cpu, abs=0.06)


def test_two_sizes_show_how_seconds_and_memory_grow():
    sizes = [Size(round(share * COCO.train), 0, 0) for share in (0.1, 0.2, 1.0)]
    done = [
        Work("fit", "cca", "coco", 1, size, Cost(START + 5 * power, START + 5 * power, memory))
        for size, power, memory in zip(sizes, (1, 4), (1.0, 1.5), strict=False)
    ]
    cost = predict(Work("fit", "cca", "coco", 1, sizes[2]), done, "train", 1)
    assert cost.seconds == pytest.approx(START + 500, rel=0.01)  # four times for twice the images
    assert cost.memory == pytest.approx(1.5 + 8 * 0.5, rel=0.01)  # on a line through both
    one = predict(Work("fit", "cca", "coco", 1, sizes[2]), done[1:], "train", 1)
    assert one.seconds == pytest.approx(START + 100, rel=0.01)  # one size shows no power: the given one
    assert one.memory == pytest.approx(RESIDENT + 5 * (1.5 - RESIDENT), rel=0.01)


def test_what_is_far_smaller_tells_nothing():
    tenth, hundredth = (Size(COCO.train // n, 0, 0) for n in (10, 100))
    job = Work("fit", "cca", "coco", 1, COCO)
    assert table([job], [Work("fit", "cca", "coco", 1, tenth, Cost(9, START + 1, 1))])["fit"] == table([job])["fit"]
    near, far = (Work("fit", "cca", "coco", 1, size, Cost(50, 50, 1)) for size in (tenth, hundredth))
    assert table([job], [near])["fit"][-2:] == ["finished", "jobs"]
    assert table([job], [far])["fit"] == [*table([job])["fit"]]


def test_a_rehearsal_tells_no_hours_of_what_runs_on_a_gpu_but_its_memory():
    tiny = Work("joint", "joint", "coco", 1, HALF, Cost(10, 10, 40.0), made=True)
    row = table([Work("joint", "joint", "coco", 1, COCO)], [tiny])["joint"]
    assert float(row[2]) == plan.JOBS["joint"].gpu
    assert float(row[5]) == pytest.approx(2 * 40.0, rel=0.01)
    real = tiny._replace(made=False)
    assert float(table([Work("joint", "joint", "coco", 1, COCO)], [real])["joint"][2]) < 0.1


@pytest.mark.parametrize(
    ("row", "cost"),
    [
        ("100.5\t0:01:40\t2048.0\t1\t1\t1\t0\t0\t80.1\t80.5", Cost(100.5, 80.5, 2.0)),
        ("0.4\t0:00:00\t-\t-\t-\t-\t-\t-\t-\t-", Cost(0.4, 0.4, math.nan)),  # too short for a sample
        ("0.4\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\t0.0\t0", Cost(0.4, 0.4, math.nan)),
    ],
)
def test_a_benchmark_file_is_read_to_its_last_run(row, cost, tmp_path):
    file = tmp_path / "a.tsv"
    file.write_text(HEAD + "9\t0:00:09\t1\t1\t1\t1\t0\t0\t1\t9\n" + row + "\n")
    assert read(file) == pytest.approx(cost, nan_ok=True)


@pytest.mark.parametrize("text", ["", HEAD, "a\tb\n1\t2\n", HEAD + "x\t0\t1\t1\t1\t1\t0\t0\t1\t9\n"])
def test_a_file_of_another_kind_is_refused_by_its_name(text, tmp_path):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(InputError, match=r"a\.tsv: expected a benchmark"):
        read(tmp_path / "a.tsv")


def test_sizes_are_the_entry_s_or_the_published_ones():
    assert size("mine", {"kind": "scenes", "sizes": {"train": 3}}) == Size(3, 0, 0)
    assert size("mine", {"kind": "coco", "restval": "drop"}).train == OFFICIAL["vqa2"].train
    assert size("imagenet", {"kind": "image-folder"}).test == 50_000
