# Downloads of data sets and weights, on the machine where Snakemake runs: `snakemake --profile slurm download`, before jobs
# on nodes without a network. The rule has no output, and existing files stay. The terminal shows progress bars.
rule download:
    log:
        "results/logs/download.log",
    localrule: True
    params:
        code=code("ngw.download.stages:download"),
        configs=workflow.overwrite_configfiles,  # merged over config.yaml, the last one on top
    shell:
        "python -m ngw download {params.configs:q} > {log}"
