# Features: every split through every frozen encoder, once, shared by all methods.
rule encode:
    input:
        images=rules.data.output.images,
        captions=rules.data.output.captions,
    output:
        features="results/features/{dataset}/{split}/{encoder}.safetensors",
    log:
        "results/logs/encode/{dataset}.{split}.{encoder}.log",
    benchmark:
        "results/benchmarks/encode/{dataset}.{split}.{encoder}.tsv"
    conda:
        "../envs/ngw.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=encoder_code,
        spec=encoder_spec,
        tables=input_folder,
    shell:
        "python -m ngw encode --tables {params.tables:q} --dataset {wildcards.dataset} --split {wildcards.split}"
        " --encoder {wildcards.encoder} --spec {params.spec:q} --output {output.features:q} > {log} 2>&1"
