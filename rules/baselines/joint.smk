# Joint training from raw pixels and words: one CLIP per run; its retrieval, its bridge to the decoders, its answers.
rule joint:
    input:
        images=rules.data.output.images,
        captions=rules.data.output.captions,
    output:
        folder=directory("results/joint/{dataset}/{method}/pairs{pairs}/seed{seed}"),
    log:
        "results/logs/joint/{dataset}.{method}.pairs{pairs}.seed{seed}.log",
    benchmark:
        "results/benchmarks/joint/{dataset}.{method}.pairs{pairs}.seed{seed}.tsv"
    wildcard_constraints:
        method=names(set(CONFIG.raw.names()) - set(CONFIG.raw.averaged())),
    priority: 20
    params:
        code=code("ngw.tasks.joint.stages:joint", JOB.method_kind),
        outside=outside(JOB.dataset_sources, JOB.method_sources),
        spec=JOB.method_spec,
        tables=input_folder,
        captions=CONFIG.captions,
        launch=launcher,
    shell:
        "{params.launch} -m ngw joint --tables {params.tables:q} --spec {params.spec:q} --pairs {wildcards.pairs}"
        " --captions {params.captions} --seed {wildcards.seed} --output {output.folder:q} > {log:q} 2>&1"


rule joint_retrieval:
    input:
        images=rules.data.output.images,
        folder=JOB.joint_folder,
        vision=rules.retrieval.input.vision,
        text=rules.retrieval.input.text,
    output:
        predictions=f"{RUN}/predictions/retrieval.parquet",
        record=f"{RUN}/metrics/retrieval.json",
    log:
        f"results/logs/joint-retrieval/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/joint-retrieval/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=names(CONFIG.raw.names()),
    params:
        code=code(
            "ngw.tasks.joint.stages:joint_retrieval", JOB.method_kind, JOB.clip_kind
        ),
        outside=outside(JOB.dataset_sources, JOB.method_sources),
        spec=JOB.method_spec,
        tables=input_folder,
        folder=joint_model,
    shell:
        "python -m ngw joint-retrieval --folder {params.folder:q} --tables {params.tables:q} --vision {input.vision:q}"
        " --text {input.text:q} --spec {params.spec:q} --method {wildcards.method:q} --pairs {wildcards.pairs}"
        " --seed {wildcards.seed} --predictions {output.predictions:q} --record {output.record:q} > {log:q} 2>&1"


rule joint_classification:
    input:
        folder=JOB.joint_folder,
        tables=CONFIG.classification.of_sets("results/data/{set}/images.parquet"),
        images=rules.classification.input.images,
        classes=rules.classification.input.classes,
        labels=rules.classification.input.labels,
    output:
        predictions=f"{RUN}/predictions/classification.parquet",
        record=f"{RUN}/metrics/classification.json",
    log:
        f"results/logs/joint-classification/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/joint-classification/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=names(CONFIG.raw.names()),
    params:
        code=code(
            "ngw.tasks.classification.stages:joint_classification",
            JOB.method_kind,
            JOB.clip_kind,
        ),
        outside=outside(JOB.method_sources),
        spec=JOB.method_spec,
        tables=set_folders,
        folder=joint_model,
    shell:
        "python -m ngw joint-classification --folder {params.folder:q} --tables {params.tables:q} --images {input.images:q}"
        " --classes {input.classes:q} --labels {input.labels:q} --dataset {wildcards.dataset} --spec {params.spec:q}"
        " --method {wildcards.method:q} --pairs {wildcards.pairs} --seed {wildcards.seed}"
        " --predictions {output.predictions:q} --record {output.record:q} > {log:q} 2>&1"


rule joint_bridge:
    input:
        images=rules.data.output.images,
        folder=JOB.joint_folder,
        vision=rules.generate_captions.input.vision,
        text=rules.generate_captions.input.text,
        train_vision="results/features/{dataset}/train/{vision}.safetensors",
        train_text=rules.generate_captions.input.train_text,
    output:
        bridge=f"{RUN}/bridge.safetensors",
    log:
        f"results/logs/joint-bridge/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/joint-bridge/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=names(CONFIG.raw.names()),
    priority: 15
    params:
        code=code("ngw.tasks.joint.stages:joint_bridge", JOB.method_kind, JOB.clip_kind),
        outside=outside(JOB.dataset_sources, JOB.method_sources),
        spec=JOB.method_spec,
        tables=input_folder,
        folder=joint_model,
    shell:
        "python -m ngw joint-bridge --folder {params.folder:q} --tables {params.tables:q} --vision {input.vision:q}"
        " --text {input.text:q} --train-vision {input.train_vision:q} --train-text {input.train_text:q}"
        " --spec {params.spec:q} --method {wildcards.method:q} --pairs {wildcards.pairs} --seed {wildcards.seed}"
        " --output {output.bridge:q} > {log:q} 2>&1"


rule joint_vqa:
    input:
        images=rules.data.output.images,
        questions=rules.data.output.questions,
        labels=rules.labels.output.labels,
    output:
        model=f"{FUSION}/model.safetensors",
        training=f"{FUSION}/training.json",
        predictions=CONFIG.vqa.predictions(),
    log:
        f"results/logs/joint-vqa/{FUSION_NAME}.log",
    benchmark:
        f"results/benchmarks/joint-vqa/{FUSION_NAME}.tsv"
    wildcard_constraints:
        fusion=names(CONFIG.vqa.staged("joint-vqa")),
    priority: 10
    params:
        code=code("ngw.tasks.joint.stages:joint_vqa", JOB.fusion_kinds),
        outside=outside(JOB.dataset_sources),
        spec=JOB.fusion_spec,
        training=verbatim(as_text(CONFIG.vqa.table["training"])),
        splits=CONFIG.vqa.splits,
        tables=input_folder,
        folder=output_folder,
    shell:
        "python -m ngw joint-vqa --tables {params.tables:q} --labels {input.labels:q} --dataset {wildcards.dataset}"
        " --vision {wildcards.vision} --text {wildcards.text} --splits {params.splits} --fusion {wildcards.fusion:q}"
        " --spec {params.spec:q} --training {params.training:q} --share {wildcards.labels} --seed {wildcards.seed}"
        " --output {params.folder:q} > {log:q} 2>&1"
