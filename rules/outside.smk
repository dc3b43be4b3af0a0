# Outside baselines: a user's rule fits maps with any program, from the input of a fit; then their runs are like any others.
rule export_clouds:
    input:
        train_vision=rules.transport.input.vision,
        train_text=rules.transport.input.text,
        foreign=JOB.foreign_of,
    output:
        clouds=temp(f"{RUN}/clouds.safetensors"),
    log:
        f"results/logs/export-clouds/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/export-clouds/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=names(CONFIG.outside()),
    params:
        code=code("ngw.tasks.outside:export_clouds", JOB.method_kind),
        spec=JOB.method_spec,
        captions=CONFIG.captions,
        foreign=option("foreign"),
    shell:
        "python -m ngw export-clouds --train-vision {input.train_vision:q} --train-text {input.train_text:q} {params.foreign}"
        " --spec {params.spec:q} --method {wildcards.method:q} --pairs {wildcards.pairs} --unpaired {wildcards.unpaired}"
        " --seed {wildcards.seed} --captions {params.captions} --output {output.clouds:q} > {log:q} 2>&1"


rule adopt_maps:
    input:
        clouds=rules.export_clouds.output.clouds,
        maps=f"{RUN}/maps.safetensors",
        cost=f"{RUN}/maps.tsv",
    output:
        model=f"{RUN}/model.safetensors",
    log:
        f"results/logs/adopt-maps/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/adopt-maps/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=names(CONFIG.outside()),
    params:
        code=code("ngw.tasks.outside:adopt_maps", JOB.method_kind),
        spec=JOB.method_spec,
    shell:
        "python -m ngw adopt-maps --clouds {input.clouds:q} --maps {input.maps:q} --cost {input.cost:q} --spec {params.spec:q}"
        " --output {output.model:q} > {log:q} 2>&1"
