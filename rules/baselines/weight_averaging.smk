# Weight averaging: two towers, each trained once on its own modality; then a mean of their trunks for each method.
rule towers:
    input:
        images=rules.data.output.images,
        captions=rules.data.output.captions,
    output:
        folder=directory("results/joint/{dataset}/{method}/towers/seed{seed}"),
    log:
        "results/logs/towers/{dataset}.{method}.seed{seed}.log",
    benchmark:
        "results/benchmarks/towers/{dataset}.{method}.seed{seed}.tsv"
    wildcard_constraints:
        method=names(map(CONFIG.raw.towers, CONFIG.raw.averaged())),
    priority: 20
    params:
        code=code("ngw.tasks.joint.stages:towers", JOB.method_kind),
        outside=outside(JOB.dataset_sources, JOB.method_sources),
        spec=JOB.method_spec,
        tables=input_folder,
        captions=CONFIG.captions,
    shell:
        "python -m ngw towers --tables {params.tables:q} --spec {params.spec:q} --captions {params.captions}"
        " --seed {wildcards.seed} --output {output.folder:q} > {log:q} 2>&1"


rule merge:
    input:
        towers=JOB.towers_folder,
    output:
        folder=directory("results/joint/{dataset}/{method}/pairs{pairs}/seed{seed}"),
    log:
        "results/logs/merge/{dataset}.{method}.pairs{pairs}.seed{seed}.log",
    benchmark:
        "results/benchmarks/merge/{dataset}.{method}.pairs{pairs}.seed{seed}.tsv"
    wildcard_constraints:
        method=names(CONFIG.raw.averaged()),
    priority: 15
    params:
        code=code("ngw.tasks.joint.stages:merge", JOB.method_kind),
        spec=JOB.method_spec,
    shell:
        "python -m ngw merge --towers {input.towers:q} --spec {params.spec:q} --output {output.folder:q} > {log:q} 2>&1"
