# Generation, text to image: a decoder trained on images alone, pictures through each method's maps, and their judges.
rule train_image_decoder:
    input:
        images=rules.data.output.images,
        vision="results/features/{dataset}/train/{vision}.safetensors",
        kept=JOB.kept("train", "vision"),
    output:
        imager="results/decoders/{dataset}/{vision}/seed{seed}/imager.safetensors",
    log:
        "results/logs/train-image-decoder/{dataset}.{vision}.seed{seed}.log",
    benchmark:
        "results/benchmarks/train-image-decoder/{dataset}.{vision}.seed{seed}.tsv"
    priority: 20
    params:
        code=code("ngw.tasks.images.stages:train_image_decoder", JOB.vision_kind),
        outside=outside(JOB.dataset_sources, JOB.vision_sources, JOB.imager_sources),
        options=verbatim(as_text(CONFIG.generation.table["imager"])),
        tables=input_folder,
        kept=option("kept"),
    shell:
        "python -m ngw train-image-decoder --tables {params.tables:q} --vision {input.vision:q} --options {params.options:q}"
        " {params.kept} --seed {wildcards.seed} --output {output.imager:q} > {log} 2>&1"


rule generate_images:
    input:
        imager=JOB.decoders("generate-images"),
        maps=JOB.decoded("generate-images"),
        vision="results/features/{dataset}/test/{vision}.safetensors",
        text="results/features/{dataset}/test/{text}.safetensors",
        train_vision=rules.train_image_decoder.input.vision,
    output:
        done=done("generate-images"),
    log:
        f"results/logs/generate-images/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/generate-images/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("generate-images"),
    params:
        code=code(
            "ngw.tasks.images.stages:generate_images", JOB.kinds("generate-images")
        ),
        outside=outside(JOB.imager_sources),
        runs=JOB.runs("generate-images", outside(JOB.imager_sources)),
        size=(CONFIG.generation.images or {}).get("count"),
    shell:
        "python -m ngw batch generate-images --runs {params.runs:q} --inputs {input.vision:q} {input.text:q}"
        " {input.train_vision:q} --done {output.done:q} -- --vision {input.vision:q} --text {input.text:q}"
        " --train-vision {input.train_vision:q} --count {params.size} > {log:q} 2>&1"


rule scorer:
    input:
        images=JOB.scorer_data,
    output:
        folder=directory("results/scorers/{scorer}"),
    log:
        "results/logs/scorer/{scorer}.log",
    benchmark:
        "results/benchmarks/scorer/{scorer}.tsv"
    wildcard_constraints:
        scorer=names(CONFIG.generation.scorers),
    priority: 20
    params:
        code=code("ngw.tasks.joint.stages:joint", JOB.joint_kind),
        outside=outside(JOB.scorer_sources),
        tables=input_folder,
        captions=JOB.scorer_option("captions", 5),
        spec=JOB.scorer_spec,
        seed=JOB.scorer_option("seed", 0),
    shell:
        "python -m ngw joint --tables {params.tables:q} --pairs all --captions {params.captions}"
        " --spec {params.spec:q} --seed {params.seed} --output {output.folder:q} > {log} 2>&1"


rule reference:
    input:
        images=rules.data.output.images,
        vision="results/features/{dataset}/test/{vision}.safetensors",
        scorer=JOB.scorer,
    output:
        reference="results/decoders/{dataset}/{vision}/reference.safetensors",
    log:
        "results/logs/reference/{dataset}.{vision}.log",
    benchmark:
        "results/benchmarks/reference/{dataset}.{vision}.tsv"
    priority: 20
    params:
        code=code("ngw.tasks.images.stages:reference", JOB.network_kind, JOB.clip_kind),
        outside=outside(
            JOB.dataset_sources,
            JOB.network_sources,
            JOB.imager_sources,
            JOB.scorer_sources,
        ),
        tables=input_folder,
        scorer=scorer_model,
        size=(CONFIG.generation.images or {}).get("count"),
        spec=verbatim(as_text(CONFIG.generation.network())),
        options=verbatim(as_text(CONFIG.generation.table["imager"])),
    shell:
        "python -m ngw reference --tables {params.tables:q} --vision {input.vision:q} --count {params.size}"
        " --spec {params.spec:q} --scorer {params.scorer:q} --options {params.options:q} --output {output.reference:q}"
        " > {log} 2>&1"


rule score_images:
    input:
        data=rules.data.output.images,
        runs=JOB.generated("generate-images"),
        reference=rules.reference.output.reference,
        scorer=JOB.scorer,
    output:
        predictions=CONFIG.generation.of_pair("predictions/imaging.parquet"),
        records=CONFIG.generation.of_pair("metrics/imaging.json"),
    log:
        "results/logs/score-images.{dataset}.{vision}__{text}.log",
    benchmark:
        "results/benchmarks/score-images.{dataset}.{vision}__{text}.tsv"
    params:
        code=code(
            "ngw.tasks.images.stages:score_images", JOB.network_kind, JOB.clip_kind
        ),
        outside=outside(JOB.network_sources, JOB.scorer_sources),
        tables=input_folder,
        runs=JOB.generated_runs,
        scorer=scorer_model,
        judges=(
            json.dumps(CONFIG.generation.judges()) if CONFIG.generation.images else ""
        ),
    shell:
        "python -m ngw score-images --tables {params.tables:q} --runs {params.runs:q} --reference {input.reference:q}"
        " --scorer {params.scorer:q} --judges {params.judges:q} > {log:q} 2>&1"


rule image_sheet:
    input:
        images=rules.data.output.images,
        vision="results/features/{dataset}/test/{vision}.safetensors",
        runs=JOB.generated("generate-images"),
    output:
        shown("Generation", drawn("images", FIGURE_NAME)),
    log:
        f"results/logs/images.{FIGURE_NAME}.log",
    benchmark:
        f"results/benchmarks/images.{FIGURE_NAME}.tsv"
    localrule: True
    params:
        code=code("ngw.report.sheets:image_sheet"),
        records=JOB.sheet_runs("images.json"),
        outside=outside(JOB.dataset_sources),
        tables=input_folder,
        folder=output_folder,
    shell:
        "python -m ngw image-sheet --tables {params.tables:q} --vision {input.vision:q} --text {wildcards.text}"
        " --records {params.records:q} --output {params.folder:q} > {log:q} 2>&1"


rule all_generation:
    input:
        rules.generation_tables.output,
        expand(
            "results/figures/{sheet}.{run}.png",
            sheet=["captions", *(["images"] if CONFIG.generation.images else [])],
            run=CONFIG.vision_text_names(CONFIG.run["datasets"]),
        ),
