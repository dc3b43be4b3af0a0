# Transport: the entropic plans between the train clouds of a method's runs, as potentials and barycentric targets.
rule transport:
    input:
        vision="results/features/{dataset}/train/{vision}.safetensors",
        text="results/features/{dataset}/train/{text}.safetensors",
        foreign=JOB.foreign("transport"),
    output:
        done=done("transport"),
    log:
        f"results/logs/transport/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/transport/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("transport"),
    priority: 8  # the longest of the fits
    params:
        code=code("ngw.tasks.stages:transport", JOB.method_kind),
        runs=JOB.runs("transport"),
        captions=CONFIG.captions,
        launch=launcher,
    shell:
        "{params.launch} -m ngw batch transport --runs {params.runs:q} --inputs {input.vision:q} {input.text:q} --done {output.done:q}"
        " -- --vision {input.vision:q} --text {input.text:q} --captions {params.captions} > {log:q} 2>&1"
