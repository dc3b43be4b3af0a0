# Transport: the entropic plan between the two train clouds, as potentials and barycentric targets.
rule transport:
    input:
        vision="results/features/{dataset}/train/{vision}.safetensors",
        text="results/features/{dataset}/train/{text}.safetensors",
        foreign=JOB.foreign,
    output:
        plan=f"{RUN}/plan.safetensors",
    log:
        f"results/logs/transport/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/transport/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=CONFIG.staged(True),
    params:
        code=code("ngw.tasks.stages:transport", JOB.method_kind),
        spec=JOB.method_spec,
        captions=CONFIG.captions,
        foreign=option("foreign"),
    shell:
        "python -m ngw transport --vision {input.vision:q} --text {input.text:q} --method {wildcards.method:q}"
        " --spec {params.spec:q} --pairs {wildcards.pairs} --unpaired {wildcards.unpaired} {params.foreign}"
        " --seed {wildcards.seed} --captions {params.captions} --output {output.plan:q} > {log:q} 2>&1"
