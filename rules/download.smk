# Data sets and weights from elsewhere, on the machine where Snakemake runs: `snakemake --profile slurm download`, before
# jobs whose nodes have no network. It has no output: what is there is left alone. Bars show in the terminal.
rule download:
    log:
        "results/logs/download.log",
    localrule: True
    params:
        code=code("ngw.download.stages:download"),
        configs=workflow.overwrite_configfiles,  # over config.yaml, the last one uppermost
    shell:
        "python -m ngw download {params.configs:q} > {log}"
