# Retrieval: every test query ranked both ways, a record a run.
rule retrieval:
    input:
        model=f"{RUN}/model.safetensors",
        vision="results/features/{dataset}/test/{vision}.safetensors",
        text="results/features/{dataset}/test/{text}.safetensors",
    output:
        predictions=f"{RUN}/predictions/retrieval.parquet",
        record=f"{RUN}/metrics/retrieval.json",
    log:
        f"results/logs/retrieval/{RUN_NAME}.log",
    benchmark:
        f"results/benchmarks/retrieval/{RUN_NAME}.tsv"
    wildcard_constraints:
        method=f"{CONFIG.staged(True)}|{CONFIG.staged(False)}",
    params:
        code=code("ngw.tasks.stages:retrieval", JOB.method_kind),
    shell:
        "python -m ngw retrieval --model {input.model:q} --vision {input.vision:q} --text {input.text:q}"
        " --predictions {output.predictions:q} --record {output.record:q} > {log:q} 2>&1"
