# Retrieval: every test query ranked both ways, one record per run.
rule retrieval:
    input:
        fitted=JOB.fitted("retrieval"),
        vision="results/features/{dataset}/test/{vision}.safetensors",
        text="results/features/{dataset}/test/{text}.safetensors",
    output:
        done=done("retrieval"),
    log:
        f"results/logs/retrieval/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/retrieval/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("retrieval"),
    priority: 5
    params:
        code=code("ngw.tasks.stages:retrieval", JOB.kinds("retrieval")),
        runs=JOB.runs("retrieval"),
    shell:
        "python -m ngw batch retrieval --runs {params.runs:q} --inputs {input.vision:q} {input.text:q} --done {output.done:q}"
        " -- --vision {input.vision:q} --text {input.text:q} > {log:q} 2>&1"
