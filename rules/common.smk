# The config, checked; wildcard constraints; input and parameter functions. The only file of rules with `def`.
import json
import re
import shlex
from pathlib import Path

import ngw.fingerprints.code
import ngw.config
import ngw.data
import ngw.encoders
import ngw.record
import ngw.fingerprints.outside
from ngw.encoders._huggingface import sources as model_sources

ROOT = Path(workflow.basedir).parent
for path in workflow.configfiles:
    ngw.config.read(path)  # for keys that stand twice: Snakemake keeps the last one
CONFIG = ngw.config.Config(config, ROOT / "workflow/schemas/config.schema.yaml")
RUN = ngw.config.RUN
FUSION = ngw.config.FUSION

# What each job is told beside its command, so that no command names it: the records say what made them.
TOLD = {"NGW_CONFIG": ngw.record.digest(config), "NGW_COMMIT": ngw.record.commit()}
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
    labels=r"\d+(\.\d+)?|all",
    seed=r"\d+",
    shard=r"\d+",


def baseline_rules():
    """The files of rules/baselines, relative to the Snakefile."""
    return sorted(
        f"../rules/baselines/{path.name}"
        for path in (ROOT / "rules/baselines").glob("*.smk")
    )


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


def module(package, spec):
    """The module of a component's kind, as `code` wants it."""
    return [f"ngw.{package}.{spec['kind'].replace('-', '_')}"]


def plain(spec):
    """A config entry as text, the same for any order of its keys."""
    return json.dumps(spec, sort_keys=True)


def shown(page, paths):
    """Those outputs, on a page of `snakemake --report` too: figures as png, tables as csv."""
    caption = f"../workflow/report/{page.lower().replace(' ', '-')}.rst"
    told = {"category": page, "caption": caption}
    if isinstance(paths, str):
        return report(paths, **told)
    return [report(p, **told) if p.endswith((".png", ".csv")) else p for p in paths]


def verbatim(text):
    """A parameter function: that text; in a plain string Snakemake takes braces in a user's words as wildcards."""

    def words(wildcards):
        return text

    return words


def dataset_spec(wildcards):
    return plain(CONFIG.datasets[wildcards.dataset])


def dataset_kind(wildcards):
    return module("data", CONFIG.datasets[wildcards.dataset])


def dataset_sources(wildcards):
    return ngw.data.sources(CONFIG.datasets[wildcards.dataset])


def encoder_spec(wildcards):
    return plain(CONFIG.encoders[wildcards.encoder])


def encoder_kind(wildcards):
    return module("encoders", CONFIG.encoders[wildcards.encoder])


def encoder_sources(wildcards):
    """What an encoder is made of, and where it sees images, those."""
    encoder = ngw.encoders.build(CONFIG.encoders[wildcards.encoder])
    images = dataset_sources(wildcards) if encoder.modality == "vision" else []
    return [*encoder.sources(), *images]


def method_spec(wildcards):
    return plain(CONFIG.method_spec(wildcards.method))


def method_kind(wildcards):
    return module("methods", CONFIG.method_spec(wildcards.method))


def method_sources(wildcards):
    """The published model of a method that reads raw items."""
    return model_sources(CONFIG.method(wildcards.method).model)


def joint_folder(wildcards):
    """The CLIP of a method that reads raw items, where it is trained here; a published one is no file of ours."""
    path = "results/joint/{dataset}/{method}/pairs{pairs}/seed{seed}"
    published = CONFIG.method(wildcards.method).model
    return [] if published else path.format(**wildcards)


def towers_folder(wildcards):
    """The towers whose trunks a method merges, those of the first method that trains them alike."""
    first = CONFIG.raw.towers(wildcards.method)
    return f"results/joint/{{dataset}}/{first}/towers/seed{{seed}}"


def teacher(wildcards):
    """The bridge of the jointly trained model that a method learns from, at its budget and seed; none where it hasn't."""
    name = CONFIG.method(wildcards.method).teacher
    run = {**wildcards, "method": name}
    return f"{RUN}/bridge.safetensors".format(**run) if name else []


def teacher_option(wildcards, input):
    """`--teacher FILE` where there is one."""
    return f"--teacher {shlex.quote(input.teacher)}" if input.teacher else ""


def launcher(wildcards, resources):
    """Who starts a training that several GPUs of one machine can share: torchrun, where the job has been given more."""
    gpus = re.search(r"gpu(?::\w+)?:(\d+)", str(resources.get("gres", "")))
    many = gpus and int(gpus[1]) > 1
    return f"torchrun --standalone --nproc-per-node {gpus[1]}" if many else "python"


def joint_model(wildcards, input):
    """That CLIP's folder, or the published one's name."""
    return CONFIG.method(wildcards.method).model or input.folder


def output_folder(wildcards, output):
    return str(Path(output[0]).parent)


def input_folder(wildcards, input):
    return str(Path(input[0]).parent)


def runs(file):
    """That file of every run that the retrieval table needs."""
    return [f"{RUN}/{file}".format(**cell) for cell in ngw.config.cells(CONFIG.grid())]


def names(allowed):
    """A regular expression of those names, which matches nothing where there is none."""
    return "|".join(map(re.escape, allowed)) or "(?!)"


def fusion_spec(wildcards):
    return plain(CONFIG.vqa.spec(wildcards.fusion))


def fusion_kinds(wildcards):
    """The fusion's own and its aligner's."""
    aligner = CONFIG.vqa.aligner(wildcards.fusion)
    own = module("fusion", CONFIG.vqa.spec(wildcards.fusion))
    return own + (module("methods", CONFIG.method_spec(aligner)) if aligner else [])


def fusion_tokens(side):
    """Token files of one side, "vision" or "text": of the training split, then of those that are answered."""
    return [
        f"results/features/{{dataset}}/{split}/{{{side}}}.tokens.safetensors"
        for split in ["train", *CONFIG.vqa.splits]
    ]


def fusion_model(wildcards):
    """The fitted aligner of a fusion, if it has one."""
    return CONFIG.vqa.model(dict(wildcards)) or []


def aligned_on(wildcards):
    """The images on which the aligners are fitted, where that isn't the data set of the questions."""
    other = CONFIG.vqa.table["aligned_on"].get(wildcards.dataset)
    return [] if other is None else f"results/data/{other}/images.parquet"


def aligned_on_option(wildcards, input):
    """`--aligned-on FOLDER` where there are such images."""
    return (
        f"--aligned-on {shlex.quote(str(Path(input.aligned_on).parent))}"
        if input.aligned_on
        else ""
    )


def model_option(wildcards, input):
    """`--model FILE` where a fusion has an aligner."""
    return f"--model {shlex.quote(input.model)}" if input.model else ""


def decoded_model(wildcards):
    """The fitted method whose maps carry latents to a decoder, or a joint model's bridge; none at its ceiling."""
    if wildcards.method not in CONFIG.generation.methods:
        return []
    file = "bridge" if wildcards.method in CONFIG.raw.names() else "model"
    return f"{RUN}/{file}.safetensors".format(**wildcards)


def decoded_kind(wildcards):
    """The kind of that method."""
    return method_kind(wildcards) if decoded_model(wildcards) else []


def captioner_sources(wildcards):
    """The language model that a captioner starts from."""
    return model_sources(CONFIG.generation.table["captioner"].get("model"))


def imager_sources(wildcards):
    """The autoencoder and the pretrained decoder of an image decoder."""
    options = CONFIG.generation.table["imager"]
    return model_sources(options.get("vae"), options.get("unclip"))


def network_kind(wildcards):
    """The kind of the encoder between whose features pictures are compared."""
    return module("encoders", CONFIG.generation.network())


def network_sources(wildcards):
    return ngw.encoders.build(CONFIG.generation.network()).sources()


def vision_kind(wildcards):
    return module("encoders", CONFIG.encoders[wildcards.vision])


def vision_sources(wildcards):
    return ngw.encoders.build(CONFIG.encoders[wildcards.vision]).sources()


def clip_kind(wildcards):
    """That by which a jointly trained model, or a scorer, is read."""
    return ["ngw.encoders.clip"]


def decoded_option(wildcards, input):
    """`--model FILE` or `--bridge FILE`."""
    kind = "bridge" if wildcards.method in CONFIG.raw.names() else "model"
    return f"--{kind} {shlex.quote(input.model)}" if input.model else ""


def caption_count(wildcards):
    """`--count N` where not all test images are captioned."""
    count = CONFIG.generation.table["count"]
    return f"--count {count}" if count else ""


def run_folders(wildcards, input):
    """The folders of the runs whose records these are."""
    return [str(Path(path).parent) for path in input.runs]


def sheet_runs(file):
    """An input function: that file of each run on the sheets of captions and of pictures."""

    def files(wildcards):
        cells = CONFIG.generation.sheet(
            wildcards.dataset, wildcards.vision, wildcards.text
        )
        return [f"{RUN}/{file}".format(**cell) for cell in cells]

    return files


def shown_method():
    """The method whose alignment is drawn: the first of the table that has features."""
    return next(
        name
        for name in CONFIG.tables["retrieval"]["methods"]
        if name not in CONFIG.raw.names()
    )


def shown_kind(wildcards):
    """The kind of that method."""
    return module("methods", CONFIG.method_spec(shown_method()))


def shown_model(wildcards):
    """That method, fitted at a middle budget."""
    name = shown_method()
    budgets = CONFIG.grid()["methods"][name]
    run = {"method": name, "pairs": budgets[len(budgets) // 2]}
    seed = CONFIG.run["seeds"][0]
    return f"{RUN}/model.safetensors".format(**wildcards, **run, seed=seed)


def scorer(wildcards):
    """The CLIP that judges pictures, where it is trained here; a published one is no file of ours."""
    if not CONFIG.generation.images:
        return []
    name = CONFIG.generation.images["scorer"]
    published = "model" in CONFIG.generation.scorers[name]
    return [] if published else f"results/scorers/{name}"


def scorer_model(wildcards, input):
    """That CLIP's folder, or the published one's name."""
    return (
        input.scorer
        or CONFIG.generation.scorers[CONFIG.generation.images["scorer"]]["model"]
    )


def scorer_sources(wildcards):
    """A published scorer's folder, or what the data of a trained one lie in."""
    name = getattr(wildcards, "scorer", CONFIG.generation.images["scorer"])
    entry = CONFIG.generation.scorers[name]
    if "model" in entry:
        return model_sources(entry["model"])
    return ngw.data.sources(CONFIG.datasets[entry["dataset"]])


def joint_kind(wildcards):
    return ["ngw.methods.joint"]


def scorer_data(wildcards):
    """The images that a scorer learns from."""
    name = CONFIG.generation.scorers[wildcards.scorer]["dataset"]
    return f"results/data/{name}/images.parquet"


def scorer_option(key, default):
    """A parameter function: that key of a scorer's entry."""

    def option(wildcards):
        return CONFIG.generation.scorers[wildcards.scorer].get(key, default)

    return option


def scorer_spec(wildcards):
    """How a scorer is trained, as a joint model's entry."""
    training = CONFIG.generation.scorers[wildcards.scorer].get("training", {})
    return plain({"kind": "joint", **training})


def examples(wildcards):
    """The runs on a page of examples."""
    return CONFIG.vqa.examples(wildcards.dataset, wildcards.vision, wildcards.text)


def example_runs(file):
    """An input function: that file of each of those runs."""

    def files(wildcards):
        return [f"{FUSION}/{file}".format(**cell) for cell in examples(wildcards)]

    return files


def example_network(wildcards):
    """The network of the first of them, whose attention is shown."""
    return f"{FUSION}/model.safetensors".format(**examples(wildcards)[0])


def example_kinds(wildcards):
    """Of that network, its aligner, and the encoder whose view of images is drawn."""
    network = type(wildcards)(fromdict=examples(wildcards)[0])
    encoder = module("encoders", CONFIG.encoders[wildcards.vision])
    return fusion_kinds(network) + encoder


def example_model(wildcards):
    """The aligner of that network, if it has one."""
    return CONFIG.vqa.model(examples(wildcards)[0]) or []
