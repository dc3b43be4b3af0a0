# Last of all: where the time went, from the benchmark files that the other jobs have left, and the report page.
rule stages:
    input:
        TABLES,
    output:
        multiext("results/tables/stages", ".csv", ".md", ".tex", ".json"),
    log:
        "results/logs/stages.log",
    localrule: True
    conda:
        "../envs/ngw.yaml"
    params:
        code=code("ngw.report.stages:stages"),
        benchmarks="results/benchmarks",
        folder=output_folder,
    shell:
        "python -m ngw stages --benchmarks {params.benchmarks:q} --output {params.folder:q} > {log} 2>&1"


rule page:
    input:
        TABLES,
        rules.stages.output,
    output:
        page="results/index.html",
    log:
        "results/logs/page.log",
    localrule: True
    conda:
        "../envs/ngw.yaml"
    params:
        code=code("ngw.report.stages:page"),
        config=verbatim(as_text(config)),
    shell:
        "python -m ngw page --tables results/tables --figures results/figures --config {params.config:q}"
        " --output {output.page:q} > {log} 2>&1"
