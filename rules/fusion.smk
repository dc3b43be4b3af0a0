# Fusion: tokens of images and questions, labels, a network trained on top of the aligners' maps, and its answers.
rule basis:
    input:
        images=rules.data.output.images,
        questions=rules.data.output.questions,
        kept=JOB.kept("train"),
    output:
        basis="results/features/{dataset}/{encoder}.basis.safetensors",
    log:
        "results/logs/basis/{dataset}.{encoder}.log",
    benchmark:
        "results/benchmarks/basis/{dataset}.{encoder}.tsv"
    params:
        code=code("ngw.tasks.vqa.inputs:basis", JOB.encoder_kind),
        outside=outside(JOB.encoder_sources),
        spec=JOB.encoder_spec,
        dims=json.dumps(CONFIG.vqa.table["tokens"]),
        tables=input_folder,
        kept=option("kept"),
    shell:
        "python -m ngw basis --tables {params.tables:q} --dataset {wildcards.dataset} --encoder {wildcards.encoder}"
        " --spec {params.spec:q} --dims {params.dims} {params.kept} --output {output.basis:q} > {log} 2>&1"


rule tokens:
    input:
        images=rules.data.output.images,
        questions=rules.data.output.questions,
        basis=rules.basis.output.basis,
        kept=JOB.kept("{split}"),
    output:
        tokens="results/features/{dataset}/{split}/{encoder}.tokens.safetensors",
    log:
        "results/logs/tokens/{dataset}.{split}.{encoder}.log",
    benchmark:
        "results/benchmarks/tokens/{dataset}.{split}.{encoder}.tsv"
    params:
        code=code("ngw.tasks.vqa.inputs:tokens", JOB.encoder_kind),
        outside=outside(JOB.encoder_sources),
        spec=JOB.encoder_spec,
        tables=input_folder,
        kept=option("kept"),
    shell:
        "python -m ngw tokens --tables {params.tables:q} --dataset {wildcards.dataset} --split {wildcards.split}"
        " --encoder {wildcards.encoder} --spec {params.spec:q} --basis {input.basis:q} {params.kept} --output {output.tokens:q}"
        " > {log} 2>&1"


rule labels:
    input:
        questions=rules.data.output.questions,
        aligned_on=JOB.aligned_on,
    output:
        labels="results/labels/{dataset}.safetensors",
    log:
        "results/logs/labels/{dataset}.log",
    benchmark:
        "results/benchmarks/labels/{dataset}.tsv"
    localrule: True
    params:
        code=code("ngw.tasks.vqa.inputs:labels"),
        tables=input_folder,
        aligned_on=aligned_on_option,
        min_count=CONFIG.vqa.table["min_count"],
        splits=CONFIG.vqa.table["vocabulary"],
    shell:
        "python -m ngw labels --tables {params.tables:q} --min-count {params.min_count} --splits {params.splits}"
        " {params.aligned_on} --output {output.labels:q} > {log} 2>&1"


rule encode_answers:
    input:
        labels=rules.labels.output.labels,
    output:
        features="results/features/{dataset}/{encoder}.answers.safetensors",
    log:
        "results/logs/encode-answers/{dataset}.{encoder}.log",
    benchmark:
        "results/benchmarks/encode-answers/{dataset}.{encoder}.tsv"
    params:
        code=code("ngw.tasks.vqa.inputs:encode_answers", JOB.encoder_kind),
        outside=outside(JOB.encoder_sources),
        spec=JOB.encoder_spec,
    shell:
        "python -m ngw encode-answers --labels {input.labels:q} --dataset {wildcards.dataset}"
        " --encoder {wildcards.encoder} --spec {params.spec:q} --output {output.features:q} > {log} 2>&1"


rule fuse:
    input:
        labels=rules.labels.output.labels,
        images=fusion_tokens("vision"),
        questions=fusion_tokens("text"),
        aligners=JOB.aligners,
        answers=JOB.fusion_answers,
    output:
        done=FUSED.replace("{stage}", "fuse"),
    log:
        "results/logs/fuse/{dataset}.{vision}__{text}.{fusion}.{part}.log",
    benchmark:
        "results/benchmarks/fuse/{dataset}.{vision}__{text}.{fusion}.{part}.tsv"
    wildcard_constraints:
        fusion=named("fuse"),
    params:
        code=code("ngw.tasks.vqa.stages:fuse", JOB.fusion_kinds),
        runs=JOB.runs("fuse"),
        training=verbatim(as_text(CONFIG.vqa.table["training"])),
        answers=option("answers"),
    shell:
        "python -m ngw batch fuse --runs {params.runs:q} --inputs {input.labels:q} {input.images:q} {input.questions:q}"
        " {input.answers:q} --done {output.done:q} -- --labels {input.labels:q} --images {input.images:q}"
        " --questions {input.questions:q} {params.answers} --training {params.training:q} > {log:q} 2>&1"


rule prior:
    input:
        questions=rules.data.output.questions,
        labels=rules.labels.output.labels,
    output:
        training=f"{FUSION}/training.json",
        predictions=CONFIG.vqa.predictions(),
    log:
        f"results/logs/prior/{FUSION_NAME}.log",
    benchmark:
        f"results/benchmarks/prior/{FUSION_NAME}.tsv"
    wildcard_constraints:
        fusion=names(CONFIG.vqa.staged("prior")),
    localrule: True
    params:
        code=code("ngw.tasks.vqa.stages:prior", JOB.fusion_kinds),
        spec=JOB.fusion_spec,
        splits=CONFIG.vqa.splits,
        tables=input_folder,
        folder=output_folder,
    shell:
        "python -m ngw prior --tables {params.tables:q} --labels {input.labels:q} --dataset {wildcards.dataset} --vision {wildcards.vision}"
        " --text {wildcards.text} --splits {params.splits} --fusion {wildcards.fusion:q} --spec {params.spec:q}"
        " --seed {wildcards.seed} --output {params.folder:q} > {log:q} 2>&1"
