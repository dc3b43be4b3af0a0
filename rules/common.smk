# The config, checked; wildcard constraints; input and parameter functions. The only file of rules with `def`.
import json
import os
import re
import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import RerunTrigger

try:
    import ngw.project
except ModuleNotFoundError as error:
    raise WorkflowError(
        "ngw: expected the package of these rules beside Snakemake, found none; "
        "pip install 'ngw[bench]' into the environment that runs Snakemake."
    ) from error
HERE, FOUND = Path(str(workflow.current_basedir)).parent, Path(ngw.__file__).parents[1]
if (HERE / "ngw").is_dir() and not (HERE / "ngw").samefile(FOUND / "ngw"):
    raise WorkflowError(
        f"ngw: expected the package beside these rules, in {HERE}, found the one in {FOUND}, whose code would check this "
        f"config; run `make` in {HERE}, put PYTHONPATH={HERE} before the command, or install it: "
        f"pip install --editable {HERE}"
    )
import ngw.fingerprints.code
import ngw.config
import ngw.fingerprints.outside
from ngw.config import cells
from ngw.config.jobs import Jobs
from ngw.config.names import DONE, FUSED, SCORED, as_text, tidy
from ngw.record import origin

ROOT = ngw.project.ROOT
OWN = Path(workflow.source_path("common.smk")).read_text().strip()
if OWN != (ROOT / "rules/common.smk").read_text().strip():
    raise WorkflowError(
        f"ngw: expected the rules of the package, {ngw.__version__} in {ROOT}, found those of another version in "
        f"{workflow.current_basedir}; install the version of these rules, or take the rules by the package's tag."
    )
# For envs/ngw.post-deploy.sh, which installs the same version.
os.environ |= {"NGW_ROOT": str(ROOT), "NGW_VERSION": ngw.__version__}
for path in workflow.configfiles:
    ngw.config.read(path)  # for duplicate keys: Snakemake keeps the last one
CONFIG = ngw.config.Config(config)
JOB = Jobs(CONFIG)  # a job's inputs and parameters, from its wildcards
# Tables of all runs take seconds, so they are made where Snakemake runs, unless jobs are cut to a budget.
LOCAL = JOB.batches.whole
RUN = ngw.config.RUN
FUSION = ngw.config.FUSION

# Names of logs and benchmarks: of a run, a fusion, a batch, and a figure with images.
RUN_NAME = "{dataset}.{vision}__{text}.{method}.pairs{pairs}.{unpaired}.seed{seed}"
FUSION_NAME = "{dataset}.{vision}__{text}.{fusion}.pairs{pairs}.{unpaired}.labels{labels}.seed{seed}"
BATCH_NAME = "{dataset}.{vision}__{text}.{method}.{part}"  # of many runs in one job
FIGURE_NAME = "{dataset}.{vision}.{text}"
FIGURE_NAMES = expand(
    "{dataset}.{pair}",
    dataset=CONFIG.run["datasets"],
    pair=[".".join(pair) for pair in CONFIG.run["encoder_pairs"]],
)

# Environment variables of each job, for its records' origin: a command that named them would change with them.
TOLD = {"NGW_CONFIG": origin.digest(config), "NGW_COMMIT": origin.commit()}
TOLD |= {"NGW_ENERGY": CONFIG.energy} if CONFIG.energy else {}
TOLD |= {"NGW_TERMINAL": "3"}  # for errors about a full disk, on which logs can be
shell.prefix(
    f"exec 3>&2; export {' '.join(f'{k}={shlex.quote(v)}' for k, v in TOLD.items())}; "
)


wildcard_constraints:
    dataset="|".join(CONFIG.datasets),
    vision="|".join(CONFIG.encoders),
    text="|".join(CONFIG.encoders),
    encoder="|".join(CONFIG.encoders),
    split="train|val|test",
    pairs=r"\d+|all",
    unpaired="shared|disjoint|foreign|none",
    labels=r"\d+(\.\d+)?|all",
    part=r"runs|pairs(\d+|all)",
    seed=r"\d+",
    shard=r"\d+",


def code(stage, *kinds):
    """A parameter function: the fingerprint of all source files that a stage and the components it builds can reach.

    They are no inputs: after each job Snakemake checks every input of every ready job, a second or more with dozens each.
    """

    def fingerprint(wildcards):
        components = [module for kind in kinds for module in kind(wildcards)]
        return ngw.fingerprints.code.fingerprint(stage, *components)

    return fingerprint


def outside(*sources, made=None):
    """A parameter function: the fingerprint of a job's sources outside `results/`, by content or manifest.

    made: the job's main output.  Where it exists, lost sources are refused: the job would begin by deleting it.
    """

    def fingerprint(wildcards):
        paths = [path for source in sources for path in source(wildcards)]
        old = made and Path(made.format(**wildcards)).exists()
        if old and RerunTrigger.PARAMS in workflow.rerun_triggers:
            ngw.fingerprints.outside.check_present(paths, made.format(**wildcards))
        return ngw.fingerprints.outside.fingerprint(paths)

    return fingerprint


def shown(page, paths):
    """Outputs, with the figures (png) and tables (csv) also on a page of `snakemake --report`."""
    caption = f"../workflow/report/{page.lower().replace(' ', '-')}.rst"
    told = {"category": page, "caption": caption}
    if isinstance(paths, str):
        return report(paths, **told)
    return [report(p, **told) if p.endswith((".png", ".csv")) else p for p in paths]


def drawn(figure, names=FIGURE_NAMES):
    """The files of a figure, png and pdf, for each data set and pair of encoders, or for some names only."""
    return expand(
        "results/figures/{figure}.{name}.{form}",
        figure=figure,
        name=names,
        form=["png", "pdf"],
    )


def verbatim(text):
    """A parameter function: a text; in a plain string Snakemake takes braces in a user's words as wildcards."""

    def words(wildcards):
        return text

    return words


def option(name):
    """A parameter function: `--NAME FILE` if the job has an input of that name."""

    def words(wildcards, input):
        file = getattr(input, name)
        return f"--{name.replace('_', '-')} {shlex.quote(file)}" if file else ""

    return words


def launcher(wildcards, resources):
    """The launcher of what several GPUs of one machine can share, a training or a plan: torchrun if the job has several."""
    gpus = re.search(r"gpu(?::\w+)?:(\d+)", str(resources.get("gres", "")))
    many = gpus and int(gpus[1]) > 1
    return f"torchrun --standalone --nproc-per-node {gpus[1]}" if many else "python"


def joint_model(wildcards, input):
    """The folder of a method's CLIP, or the name of a published one."""
    return CONFIG.method(wildcards.method).model or input.folder


def kept_option(wildcards, output):
    """`--kept FILE` if the job also keeps the tokens."""
    file = getattr(output, "kept", None)
    return f"--kept {shlex.quote(file)}" if file else ""


def output_folder(wildcards, output):
    return str(Path(output[0]).parent)


def input_folder(wildcards, input):
    return str(Path(input[0]).parent)


def done(stage):
    """The output of a job of many runs of methods."""
    return DONE.replace("{stage}", stage)


def named(stage):
    """A constraint: the names of a stage's batches."""
    return names(JOB.batches.names(stage))


def made(stage, cells):
    """The files that record that a stage has written the files of some runs."""
    return JOB.batches.made(stage, cells)


def names(allowed):
    """A regular expression of names; without a name it matches nothing."""
    return "|".join(map(re.escape, allowed)) or "(?!)"


def fusion_tokens(side):
    """Token files of one side, "vision" or "text": of the training split, then of the answered splits."""
    return [
        f"results/features/{{dataset}}/{split}/{{{side}}}.tokens.safetensors"
        for split in ["train", *CONFIG.vqa.splits]
    ]


def aligned_on_option(wildcards, input):
    """`--aligned-on FOLDER` if the aligners are fitted on another data set."""
    return (
        f"--aligned-on {shlex.quote(str(Path(input.aligned_on).parent))}"
        if input.aligned_on
        else ""
    )


def probe_files(wildcards, input):
    """`--probes FILES` if there are linear probes."""
    return f"--probes {shlex.join(input.probes)}" if input.probes else ""


def set_folders(wildcards, input):
    """The folders of the classified data sets' tables."""
    return [str(Path(path).parent) for path in input.tables]


def scorer_model(wildcards, input):
    """The folder of the scorer's CLIP, or the name of a published one."""
    return (
        input.scorer
        or CONFIG.generation.scorers[CONFIG.generation.images["scorer"]]["model"]
    )
