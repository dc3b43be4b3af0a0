# Data sets: from raw files to tables of images, captions, questions and labels, checked before anything expensive starts.
rule data:
    output:
        images="results/data/{dataset}/images.parquet",
        captions="results/data/{dataset}/captions.parquet",
        questions="results/data/{dataset}/questions.parquet",
        labels="results/data/{dataset}/labels.parquet",
        classes="results/data/{dataset}/classes.json",
        record="results/data/{dataset}/record.json",
    log:
        "results/logs/data/{dataset}.log",
    benchmark:
        "results/benchmarks/data/{dataset}.tsv"
    priority: 100  # it needs two threads, and once smaller jobs run, two are never free at once
    threads: 2
    params:
        code=code("ngw.tasks.stages:data", JOB.dataset_kind),
        outside=outside(JOB.dataset_sources, made="results/data/{dataset}/record.json"),
        spec=JOB.dataset_spec,
        folder=output_folder,
    shell:
        "python -m ngw data --spec {params.spec:q} --output {params.folder:q} > {log} 2>&1"
