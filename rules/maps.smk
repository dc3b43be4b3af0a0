# Maps: T_AB and T_BA, fitted to plans (NGW and similar methods) or to the known pairs directly (all other methods).
rule maps:
    input:
        vision=rules.transport.input.vision,
        text=rules.transport.input.text,
        foreign=JOB.foreign("maps"),
        plans=JOB.plans("maps"),
    output:
        done=done("maps"),
    log:
        f"results/logs/maps/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/maps/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("maps"),
    priority: 5
    params:
        code=code("ngw.tasks.stages:maps", JOB.method_kind),
        runs=JOB.runs("maps"),
        captions=CONFIG.captions,
    shell:
        "python -m ngw batch maps --runs {params.runs:q} --inputs {input.vision:q} {input.text:q} --done {output.done:q}"
        " -- --vision {input.vision:q} --text {input.text:q} --captions {params.captions} > {log:q} 2>&1"


rule fit:
    input:
        vision=rules.transport.input.vision,
        text=rules.transport.input.text,
        foreign=JOB.foreign("fit"),
        teachers=JOB.teachers("fit"),
    output:
        done=done("fit"),
    log:
        f"results/logs/fit/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/fit/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("fit"),
    priority: 5
    params:
        code=code("ngw.tasks.stages:fit", JOB.method_kind),
        runs=JOB.runs("fit"),
        captions=CONFIG.captions,
    shell:
        "python -m ngw batch fit --runs {params.runs:q} --inputs {input.vision:q} {input.text:q} --done {output.done:q}"
        " -- --vision {input.vision:q} --text {input.text:q} --captions {params.captions} > {log:q} 2>&1"
