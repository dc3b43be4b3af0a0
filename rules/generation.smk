# Generation: a caption decoder trained on captions alone, captions of test images through each method's maps, scores.
rule train_captioner:
    input:
        captions=rules.data.output.captions,
        text="results/features/{dataset}/train/{text}.safetensors",
    output:
        captioner="results/decoders/{dataset}/{text}/seed{seed}/captioner.safetensors",
    log:
        "results/logs/train-captioner/{dataset}.{text}.seed{seed}.log",
    benchmark:
        "results/benchmarks/train-captioner/{dataset}.{text}.seed{seed}.tsv"
    priority: 20
    params:
        code=code("ngw.tasks.captions.stages:train_captioner"),
        outside=outside(JOB.captioner_sources),
        options=verbatim(as_text(CONFIG.generation.table["captioner"])),
        tables=input_folder,
    shell:
        "python -m ngw train-captioner --tables {params.tables:q} --text {input.text:q} --options {params.options:q}"
        " --seed {wildcards.seed} --output {output.captioner:q} > {log} 2>&1"


rule generate_captions:
    input:
        captions=rules.data.output.captions,
        captioner=JOB.decoders("generate-captions"),
        maps=JOB.decoded("generate-captions"),
        vision="results/features/{dataset}/test/{vision}.safetensors",
        text="results/features/{dataset}/test/{text}.safetensors",
        train_text=rules.train_captioner.input.text,
    output:
        done=done("generate-captions"),
    log:
        f"results/logs/generate-captions/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/generate-captions/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("generate-captions"),
    params:
        code=code(
            "ngw.tasks.captions.stages:generate_captions",
            JOB.kinds("generate-captions"),
        ),
        outside=outside(JOB.captioner_sources),
        runs=JOB.runs("generate-captions", outside(JOB.captioner_sources)),
        tables=input_folder,
        some=JOB.caption_count,
    shell:
        "python -m ngw batch generate-captions --runs {params.runs:q} --inputs {input.captions:q} {input.vision:q} {input.text:q}"
        " {input.train_text:q} --done {output.done:q} -- --vision {input.vision:q} --text {input.text:q}"
        " --train-text {input.train_text:q} --tables {params.tables:q} {params.some} > {log:q} 2>&1"


rule paraphrases:
    input:
        captions=rules.data.output.captions,
    output:
        table="results/data/{dataset}/paraphrases.gz",
        words="results/data/{dataset}/paraphrases.json",
    log:
        "results/logs/paraphrases/{dataset}.log",
    benchmark:
        "results/benchmarks/paraphrases/{dataset}.tsv"
    params:
        code=code("ngw.tasks.captions.stages:paraphrases"),
        tables=input_folder,
    shell:
        "python -m ngw paraphrases --tables {params.tables:q} --output {output.table:q} > {log} 2>&1"


rule score_captions:
    input:
        references=rules.data.output.captions,
        paraphrases=rules.paraphrases.output.table,
        runs=JOB.generated("generate-captions"),
    output:
        predictions=CONFIG.generation.of_pair("predictions/captioning.parquet"),
        records=CONFIG.generation.of_pair("metrics/captioning.json"),
    log:
        "results/logs/score-captions.{dataset}.{vision}__{text}.log",
    benchmark:
        "results/benchmarks/score-captions.{dataset}.{vision}__{text}.tsv"
    params:
        code=code("ngw.tasks.captions.stages:score_captions"),
        tables=input_folder,
        runs=JOB.generated_runs,
        some=JOB.caption_count,
    shell:
        "python -m ngw score-captions --tables {params.tables:q} --runs {params.runs:q} {params.some}"
        " --paraphrases {input.paraphrases:q} > {log:q} 2>&1"


rule generation_tables:
    input:
        records=CONFIG.generation.files("metrics/captioning.json"),
        predictions=CONFIG.generation.files("predictions/captioning.parquet"),
        pictures=(
            CONFIG.generation.files("metrics/imaging.json")
            if CONFIG.generation.images
            else []
        ),
        judged=(
            CONFIG.generation.files("predictions/imaging.parquet")
            if CONFIG.generation.images
            else []
        ),
    output:
        csv=shown("Generation", "results/tables/generation.csv"),
        md="results/tables/generation.md",
        tex="results/tables/generation.tex",
        txt="results/tables/generation.txt",
        record="results/tables/generation.json",
    log:
        "results/logs/generation-tables.log",
    benchmark:
        "results/benchmarks/generation-tables.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:generation_tables"),
        cells=verbatim(json.dumps(CONFIG.generation.cells())),
        images="--images" if CONFIG.generation.images else "",
        folder=output_folder,
    shell:
        "python -m ngw generation-tables --cells {params.cells:q} {params.images} --output {params.folder:q} > {log} 2>&1"


rule caption_sheet:
    input:
        images=rules.data.output.images,
        captions=rules.data.output.captions,
        vision="results/features/{dataset}/test/{vision}.safetensors",
        runs=JOB.sheet_runs("predictions/captioning.parquet"),
        records=JOB.sheet_runs("metrics/captioning.json"),
    output:
        shown("Generation", drawn("captions", FIGURE_NAME)),
    log:
        f"results/logs/captions.{FIGURE_NAME}.log",
    benchmark:
        f"results/benchmarks/captions.{FIGURE_NAME}.tsv"
    localrule: True
    params:
        code=code("ngw.report.sheets:caption_sheet"),
        outside=outside(JOB.dataset_sources),
        tables=input_folder,
        folder=output_folder,
    shell:
        "python -m ngw caption-sheet --tables {params.tables:q} --vision {input.vision:q} --text {wildcards.text}"
        " --records {input.records:q} --output {params.folder:q} > {log:q} 2>&1"
