# Ablations: methods derived from a base by one option each. The rules of all methods run them; here are table and figure.
rule ablation_tables:
    input:
        runs=made("retrieval", cells(CONFIG.ablation_grid())),
    output:
        shown(
            "Ablations",
            multiext("results/tables/ablations", ".csv", ".md", ".tex", ".json"),
        ),
    log:
        "results/logs/ablation-tables.log",
    benchmark:
        "results/benchmarks/ablation-tables.tsv"
    localrule: LOCAL
    params:
        code=code("ngw.report.stages:ablation_tables"),
        grid=verbatim(json.dumps(CONFIG.ablation_grid())),
        name="ablations",
        folder=output_folder,
    shell:
        "python -m ngw ablation-tables --grid {params.grid:q} --name {params.name} --output {params.folder:q}"
        " > {log} 2>&1"


FULL_ABLATION = CONFIG.ablation_grid(full=True)


use rule ablation_tables as all_ablation_tables with:
    input:
        runs=made("retrieval", cells(FULL_ABLATION)),
    output:
        multiext("results/tables/ablations-full", ".csv", ".md", ".tex", ".json"),
    log:
        "results/logs/ablation-tables-full.log",
    benchmark:
        "results/benchmarks/ablation-tables-full.tsv"
    params:
        code=code("ngw.report.stages:ablation_tables"),
        grid=verbatim(json.dumps(FULL_ABLATION)),
        name="ablations-full",
        folder=output_folder,


rule ablation_figures:
    input:
        table=rules.ablation_tables.output[0],
    output:
        shown("Ablations", drawn("ablations")),
    log:
        "results/logs/ablation-figures.log",
    benchmark:
        "results/benchmarks/ablation-figures.tsv"
    localrule: True
    params:
        code=code("ngw.report.stages:ablation_figures"),
        folder=output_folder,
    shell:
        "python -m ngw ablation-figures --table {input.table:q} --output {params.folder:q} > {log} 2>&1"


use rule ablation_figures as all_ablation_figures with:
    input:
        table=rules.all_ablation_tables.output[0],
    output:
        drawn("ablations-full"),
    log:
        "results/logs/ablation-figures-full.log",
    benchmark:
        "results/benchmarks/ablation-figures-full.tsv"


rule all_ablations:
    input:
        rules.all_ablation_tables.output,
        rules.all_ablation_figures.output,
