# Maps: T_AB and T_BA, fitted to a plan (NGW and its kin) or to the known pairs directly (every other method).
rule maps:
    input:
        vision=rules.transport.input.vision,
        text=rules.transport.input.text,
        foreign=JOB.foreign,
        plan=rules.transport.output.plan,
    output:
        model=f"{RUN}/model.safetensors",
    log:
        f"results/logs/maps/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/maps/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=CONFIG.staged(True),
    params:
        code=code("ngw.tasks.stages:maps", JOB.method_kind),
        spec=JOB.method_spec,
        captions=CONFIG.captions,
        foreign=option("foreign"),
    shell:
        "python -m ngw maps --vision {input.vision:q} --text {input.text:q} --plan {input.plan:q}"
        " --method {wildcards.method:q} --spec {params.spec:q} --pairs {wildcards.pairs} --unpaired {wildcards.unpaired}"
        " {params.foreign} --seed {wildcards.seed} --captions {params.captions} --output {output.model:q} > {log:q} 2>&1"


rule fit:
    input:
        vision=rules.transport.input.vision,
        text=rules.transport.input.text,
        foreign=JOB.foreign,
        teacher=JOB.teacher,
    output:
        model=f"{RUN}/model.safetensors",
    log:
        f"results/logs/fit/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/fit/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=CONFIG.staged(False),
    params:
        code=code("ngw.tasks.stages:fit", JOB.method_kind),
        spec=JOB.method_spec,
        captions=CONFIG.captions,
        foreign=option("foreign"),
        teacher=option("teacher"),
    shell:
        "python -m ngw fit --vision {input.vision:q} --text {input.text:q} --method {wildcards.method:q}"
        " --spec {params.spec:q} --pairs {wildcards.pairs} --unpaired {wildcards.unpaired} --seed {wildcards.seed}"
        " --captions {params.captions} {params.foreign} {params.teacher} --output {output.model:q} > {log:q} 2>&1"
