# Visual question answering: answers scored like the official scorer, one record per run; table and figures.
rule vqa:
    input:
        questions=rules.data.output.questions,
        answers=JOB.answered,
    output:
        done=SCORED,
    log:
        "results/logs/vqa/{dataset}.{vision}__{text}.log",
    benchmark:
        "results/benchmarks/vqa/{dataset}.{vision}__{text}.tsv"
    params:
        code=code("ngw.tasks.vqa.stages:vqa"),
        runs=JOB.runs("vqa"),
        tables=input_folder,
    shell:
        "python -m ngw batch vqa --runs {params.runs:q} --inputs {input.questions:q} --done {output.done:q}"
        " -- --tables {params.tables:q} > {log:q} 2>&1"


rule vqa_tables:
    input:
        runs=CONFIG.vqa.scored(),
    output:
        csv=shown("Visual question answering", "results/tables/vqa.csv"),
        md="results/tables/vqa.md",
        tex="results/tables/vqa.tex",
        txt="results/tables/vqa.txt",
        record="results/tables/vqa.json",
        differences=multiext("results/tables/vqa-differences", ".csv", ".json"),
        against=multiext("results/tables/vqa-against-ngw", ".csv", ".json"),
    log:
        "results/logs/vqa-tables.log",
    benchmark:
        "results/benchmarks/vqa-tables.tsv"
    localrule: LOCAL
    params:
        code=code("ngw.report.stages:vqa_tables"),
        grid=verbatim(json.dumps(CONFIG.vqa.cells())),
        folder=output_folder,
    shell:
        "python -m ngw vqa-tables --cells {params.grid:q} --output {params.folder:q} > {log} 2>&1"


rule vqa_figures:
    input:
        table=rules.vqa_tables.output.csv,
    output:
        shown(
            "Visual question answering",
            drawn("vqa", CONFIG.vision_text_names(CONFIG.vqa.table["datasets"])),
        ),
    log:
        "results/logs/vqa-figures.log",
    benchmark:
        "results/benchmarks/vqa-figures.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:vqa_figures"),
        folder=output_folder,
    shell:
        "python -m ngw vqa-figures --table {input.table:q} --output {params.folder:q} > {log} 2>&1"


rule vqa_examples:
    input:
        images=rules.data.output.images,
        questions=rules.data.output.questions,
        runs=rules.vqa.output.done,
        fitted=JOB.example_fitted,
        vision=f"results/features/{{dataset}}/{CONFIG.vqa.table['split']}/{{vision}}.tokens.safetensors",
        text=f"results/features/{{dataset}}/{CONFIG.vqa.table['split']}/{{text}}.tokens.safetensors",
    output:
        shown("Visual question answering", drawn("vqa-examples", FIGURE_NAME)),
    log:
        f"results/logs/vqa-examples.{FIGURE_NAME}.log",
    benchmark:
        f"results/benchmarks/vqa-examples.{FIGURE_NAME}.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:vqa_examples", JOB.example_kinds),
        outside=outside(JOB.dataset_sources),
        tables=input_folder,
        records=JOB.example_runs("metrics/vqa.json"),
        answers=JOB.example_runs("predictions/vqa.parquet"),
        network=JOB.example_network,
        model=JOB.example_model,
        folder=output_folder,
    shell:
        "python -m ngw vqa-examples --tables {params.tables:q} --records {params.records:q} --answers {params.answers:q} --network {params.network:q}"
        " --vision {input.vision:q} --text {input.text:q} {params.model} --output {params.folder:q} > {log:q} 2>&1"


rule all_vqa:
    input:
        rules.vqa_tables.output,
        rules.vqa_figures.output,
        expand(
            "results/figures/vqa-examples.{name}.png",
            name=(
                CONFIG.vision_text_names(CONFIG.vqa.table["datasets"])
                if CONFIG.vqa.table["examples"]
                else []
            ),
        ),
