# The config, checked; wildcard constraints; input and parameter functions. The only file of rules with `def`.
import json
import os
import re
import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError

try:
    import ngw.project
except ModuleNotFoundError as error:
    raise WorkflowError(
        "ngw: expected the package beside Snakemake, whose rules these are, found none; "
        "pip install 'ngw[bench]' into the environment that runs Snakemake."
    ) from error
HERE, FOUND = Path(str(workflow.current_basedir)).parent, Path(ngw.__file__).parents[1]
if (HERE / "ngw").is_dir() and not (HERE / "ngw").samefile(FOUND / "ngw"):
    raise WorkflowError(
        f"ngw: expected the package beside these rules, in {HERE}, found that of {FOUND}, which this environment has and "
        f"whose code would check this config; run `make` in {HERE}, put PYTHONPATH={HERE} before the command, or install "
        f"it: pip install --editable {HERE}"
    )
import ngw.fingerprints.code
import ngw.config
import ngw.fingerprints.outside
import ngw.tools.status
from ngw.config import cells
from ngw.config.jobs import Jobs
from ngw.config.names import DONE, FUSED, SCORED, as_text
from ngw.record import origin

ROOT = ngw.project.ROOT
OWN = Path(workflow.source_path("common.smk")).read_text().strip()
if OWN != (ROOT / "rules/common.smk").read_text().strip():
    raise WorkflowError(
        f"ngw: expected the rules of the package, {ngw.__version__} in {ROOT}, found those of another version in "
        f"{workflow.current_basedir}; install the version whose rules these are, or name that one's tag."
    )
# For envs/ngw.post-deploy.sh, which installs the same.
os.environ |= {"NGW_ROOT": str(ROOT), "NGW_VERSION": ngw.__version__}
for path in workflow.configfiles:
    ngw.config.read(path)  # for keys that stand twice: Snakemake keeps the last one
CONFIG = ngw.config.Config(config)
JOB = Jobs(CONFIG)  # what a job is made of, from its wildcards
# Are tables of all runs made in seconds, where Snakemake runs? Not where jobs are cut to a budget.
LOCAL = JOB.batches.whole
RUN = ngw.config.RUN
FUSION = ngw.config.FUSION

# What the log and the benchmark of a run, of a fusion and of a figure with images are called.
RUN_NAME = "{dataset}.{vision}__{text}.{method}.pairs{pairs}.{unpaired}.seed{seed}"
FUSION_NAME = "{dataset}.{vision}__{text}.{fusion}.pairs{pairs}.{unpaired}.labels{labels}.seed{seed}"
BATCH_NAME = "{dataset}.{vision}__{text}.{method}.{part}"  # of many runs in one job
FIGURE_NAME = "{dataset}.{vision}.{text}"
FIGURE_NAMES = expand(
    "{dataset}.{pair}",
    dataset=CONFIG.run["datasets"],
    pair=[".".join(pair) for pair in CONFIG.run["encoder_pairs"]],
)

# What each job is told beside its command, so that no command names it: the records say what made them.
TOLD = {"NGW_CONFIG": origin.digest(config), "NGW_COMMIT": origin.commit()}
TOLD |= {"NGW_ENERGY": CONFIG.energy} if CONFIG.energy else {}
TOLD |= {"NGW_TERMINAL": "3"}  # where a full disk is told: the logs lie on it too
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

    No inputs: Snakemake looks at every input of every ready job after each job, a second or more with dozens a job.
    """

    def fingerprint(wildcards):
        components = [module for kind in kinds for module in kind(wildcards)]
        return ngw.fingerprints.code.fingerprint(stage, *components)

    return fingerprint


def outside(*sources):
    """A parameter function: the fingerprint of what lies outside `results/` and a job reads, by content or manifest."""

    def fingerprint(wildcards):
        paths = [path for source in sources for path in source(wildcards)]
        return ngw.fingerprints.outside.fingerprint(paths)

    return fingerprint


def shown(page, paths):
    """Those outputs, on a page of `snakemake --report` too: figures as png, tables as csv."""
    caption = f"../workflow/report/{page.lower().replace(' ', '-')}.rst"
    told = {"category": page, "caption": caption}
    if isinstance(paths, str):
        return report(paths, **told)
    return [report(p, **told) if p.endswith((".png", ".csv")) else p for p in paths]


def drawn(figure, names=FIGURE_NAMES):
    """That figure, as png and pdf, of each data set and pair of encoders, or of those alone."""
    return expand(
        "results/figures/{figure}.{name}.{form}",
        figure=figure,
        name=names,
        form=["png", "pdf"],
    )


def verbatim(text):
    """A parameter function: that text; in a plain string Snakemake takes braces in a user's words as wildcards."""

    def words(wildcards):
        return text

    return words


def option(name):
    """A parameter function: `--NAME FILE` where the job has an input of that name."""

    def words(wildcards, input):
        file = getattr(input, name)
        return f"--{name.replace('_', '-')} {shlex.quote(file)}" if file else ""

    return words


def launcher(wildcards, resources):
    """Who starts a training that several GPUs of one machine can share: torchrun, where the job has been given more."""
    gpus = re.search(r"gpu(?::\w+)?:(\d+)", str(resources.get("gres", "")))
    many = gpus and int(gpus[1]) > 1
    return f"torchrun --standalone --nproc-per-node {gpus[1]}" if many else "python"


def joint_model(wildcards, input):
    """That CLIP's folder, or the published one's name."""
    return CONFIG.method(wildcards.method).model or input.folder


def kept_option(wildcards, output):
    """`--kept FILE` where the tokens are kept too."""
    file = getattr(output, "kept", None)
    return f"--kept {shlex.quote(file)}" if file else ""


def output_folder(wildcards, output):
    return str(Path(output[0]).parent)


def input_folder(wildcards, input):
    return str(Path(input[0]).parent)


def done(stage):
    """What a job of many runs leaves, where they are a method's."""
    return DONE.replace("{stage}", stage)


def named(stage):
    """A constraint: the batches of a stage."""
    return names(JOB.batches.names(stage))


def made(stage, cells):
    """What says that a stage has made the files of those runs."""
    return JOB.batches.made(stage, cells)


def names(allowed):
    """A regular expression of those names, which matches nothing where there is none."""
    return "|".join(map(re.escape, allowed)) or "(?!)"


def fusion_tokens(side):
    """Token files of one side, "vision" or "text": of the training split, then of those that are answered."""
    return [
        f"results/features/{{dataset}}/{split}/{{{side}}}.tokens.safetensors"
        for split in ["train", *CONFIG.vqa.splits]
    ]


def aligned_on_option(wildcards, input):
    """`--aligned-on FOLDER` where there are such images."""
    return (
        f"--aligned-on {shlex.quote(str(Path(input.aligned_on).parent))}"
        if input.aligned_on
        else ""
    )


def probe_files(wildcards, input):
    """`--probes FILES` where there are some."""
    return f"--probes {shlex.join(input.probes)}" if input.probes else ""


def set_folders(wildcards, input):
    """The folders of the classified data sets' tables."""
    return [str(Path(path).parent) for path in input.tables]


def scorer_model(wildcards, input):
    """That CLIP's folder, or the published one's name."""
    return (
        input.scorer
        or CONFIG.generation.scorers[CONFIG.generation.images["scorer"]]["model"]
    )
