# Identifiability: what each fitted map preserves, beside its shuffled null; the similarity of two spaces before any map.
rule identifiability:
    input:
        fitted=JOB.fitted("identifiability"),
        vision="results/features/{dataset}/test/{vision}.safetensors",
        text="results/features/{dataset}/test/{text}.safetensors",
        train_vision=rules.transport.input.vision,
        train_text=rules.transport.input.text,
        foreign=JOB.foreign("identifiability"),
    output:
        done=done("identifiability"),
    log:
        f"results/logs/identifiability/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/identifiability/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("identifiability"),
    params:
        code=code("ngw.tasks.stages:identifiability", JOB.kinds("identifiability")),
        runs=JOB.runs("identifiability"),
        captions=CONFIG.captions,
    shell:
        "python -m ngw batch identifiability --runs {params.runs:q} --inputs {input.vision:q} {input.text:q}"
        " {input.train_vision:q} {input.train_text:q} --done {output.done:q} -- --vision {input.vision:q} --text {input.text:q}"
        " --train-vision {input.train_vision:q} --train-text {input.train_text:q} --captions {params.captions} > {log:q} 2>&1"


rule identifiability_tables:
    input:
        runs=made("identifiability", cells(CONFIG.identifiability_grid())),
    output:
        tables=shown(
            "Identifiability",
            multiext("results/tables/identifiability", ".csv", ".md", ".tex", ".json"),
        ),
        spectrum=multiext("results/tables/identifiability-spectrum", ".csv", ".json"),
    log:
        "results/logs/identifiability-tables.log",
    benchmark:
        "results/benchmarks/identifiability-tables.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:identifiability_tables"),
        grid=verbatim(json.dumps(CONFIG.identifiability_grid())),
        folder=output_folder,
    shell:
        "python -m ngw identifiability-tables --grid {params.grid:q} --output {params.folder:q} > {log} 2>&1"


rule identifiability_figures:
    input:
        table=rules.identifiability_tables.output.spectrum[0],
    output:
        shown("Identifiability", drawn("identifiability")),
    log:
        "results/logs/identifiability-figures.log",
    benchmark:
        "results/benchmarks/identifiability-figures.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:identifiability_figures"),
        folder=output_folder,
    shell:
        "python -m ngw identifiability-figures --table {input.table:q} --output {params.folder:q} > {log} 2>&1"


rule similarity:
    input:
        vision="results/features/{dataset}/test/{vision}.safetensors",
        text="results/features/{dataset}/test/{text}.safetensors",
        train_vision=rules.transport.input.vision,
        train_text=rules.transport.input.text,
    output:
        record="results/similarity/{dataset}/{vision}__{text}.json",
    log:
        "results/logs/similarity/{dataset}.{vision}__{text}.log",
    benchmark:
        "results/benchmarks/similarity/{dataset}.{vision}__{text}.tsv"
    params:
        code=code("ngw.tasks.stages:similarity"),
    shell:
        "python -m ngw similarity --vision {input.vision:q} --text {input.text:q}"
        " --train-vision {input.train_vision:q} --train-text {input.train_text:q} --record {output.record:q} > {log:q} 2>&1"


rule similarity_tables:
    input:
        records=[
            f"results/similarity/{d}/{v}__{t}.json"
            for d in CONFIG.run["datasets"]
            for v, t in CONFIG.run["encoder_pairs"]
        ],
        table=rules.tables.output.csv,
    output:
        multiext("results/tables/similarity", ".csv", ".md", ".tex", ".json"),
    log:
        "results/logs/similarity-tables.log",
    benchmark:
        "results/benchmarks/similarity-tables.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:similarity_tables"),
        pairs=CONFIG.identifiability["pairs"],
        folder=output_folder,
    shell:
        "python -m ngw similarity-tables --records {input.records:q} --table {input.table:q}"
        " --pairs {params.pairs} --output {params.folder:q} > {log} 2>&1"
