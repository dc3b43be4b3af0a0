# Where the time went. Last of all: it reads the benchmark files that the other jobs have left.
rule stages:
    input:
        TABLES,
        code=sources("report/efficiency.py"),
    output:
        multiext("results/tables/stages", ".csv", ".md", ".tex"),
    log:
        "results/logs/stages.log",
    conda:
        "../envs/ngw.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        benchmarks="results/benchmarks",
        folder=output_folder,
    shell:
        "python -m ngw stages --benchmarks {params.benchmarks:q} --output {params.folder:q} > {log} 2>&1"
