# Tables and figures: from every run's record to csv, md and tex; a missing cell is an error.
rule tables:
    input:
        runs=made("retrieval", cells(CONFIG.grid())),
    output:
        csv=shown("Retrieval", "results/tables/retrieval.csv"),
        md="results/tables/retrieval.md",
        tex="results/tables/retrieval.tex",
        txt="results/tables/retrieval.txt",
        record="results/tables/retrieval.json",
        differences=multiext("results/tables/retrieval-differences", ".csv", ".json"),
        against=multiext("results/tables/retrieval-against-ngw", ".csv", ".json"),
        efficiency=shown(
            "Efficiency",
            multiext("results/tables/efficiency", ".csv", ".md", ".tex", ".json"),
        ),
    log:
        "results/logs/tables.log",
    benchmark:
        "results/benchmarks/tables.tsv"
    localrule: LOCAL
    params:
        code=code("ngw.report.stages:collate"),
        grid=verbatim(json.dumps(CONFIG.grid())),
        folder=output_folder,
    shell:
        "python -m ngw collate --grid {params.grid:q} --output {params.folder:q} > {log} 2>&1"


rule figures:
    input:
        table=rules.tables.output.csv,
    output:
        shown("Retrieval", drawn("retrieval")),
    log:
        "results/logs/figures.log",
    benchmark:
        "results/benchmarks/figures.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:figures"),
        folder=output_folder,
    shell:
        "python -m ngw figures --table {input.table:q} --output {params.folder:q} > {log} 2>&1"


rule efficiency_figures:
    input:
        table=rules.tables.output.efficiency[0],
    output:
        shown("Efficiency", drawn("efficiency")),
    log:
        "results/logs/efficiency-figures.log",
    benchmark:
        "results/benchmarks/efficiency-figures.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:efficiency_figures"),
        folder=output_folder,
    shell:
        "python -m ngw efficiency-figures --table {input.table:q} --output {params.folder:q} > {log} 2>&1"


rule alignment_figures:
    input:
        tables=rules.data.output.captions,
        images=rules.data.output.images,
        fitted=JOB.shown_fitted,
        vision="results/features/{dataset}/test/{vision}.safetensors",
        text="results/features/{dataset}/test/{text}.safetensors",
    output:
        shown("Retrieval", drawn(["alignment", "retrieval-examples"], FIGURE_NAME)),
    log:
        f"results/logs/alignment-figures.{FIGURE_NAME}.log",
    benchmark:
        f"results/benchmarks/alignment-figures.{FIGURE_NAME}.tsv"
    localrule: True
    params:
        code=code("ngw.report.sheets:alignment_figures", JOB.shown_kind),
        model=JOB.shown_model,
        outside=outside(JOB.dataset_sources),
        tables=input_folder,
        folder=output_folder,
    shell:
        "python -m ngw alignment-figures --model {params.model:q} --vision {input.vision:q} --text {input.text:q}"
        " --tables {params.tables:q} --output {params.folder:q} > {log:q} 2>&1"
