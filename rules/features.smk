# Features: every split through every frozen encoder, once, shared by all methods; large splits in shards, one job each.
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
    wildcard_constraints:
        split="train|val|test" if CONFIG.shards == 1 else "val|test",
    params:
        code=code("ngw.tasks.stages:encode", JOB.encoder_kind),
        outside=outside(
            JOB.encoder_sources,
            made="results/features/{dataset}/{split}/{encoder}.safetensors",
        ),
        spec=JOB.encoder_spec,
        tables=input_folder,
        kept=kept_option,
    shell:
        "python -m ngw encode --tables {params.tables:q} --dataset {wildcards.dataset} --split {wildcards.split}"
        " --encoder {wildcards.encoder} --spec {params.spec:q} --output {output.features:q} {params.kept} > {log} 2>&1"


use rule encode as encode_keeping_tokens with:
    output:
        features=rules.encode.output.features,
        kept="results/features/{dataset}/{split}/{encoder}.kept.safetensors",
    wildcard_constraints:
        dataset=names(CONFIG.run["datasets"]),
        encoder=names(JOB.keepers()),


ruleorder: encode_keeping_tokens > encode


rule encode_shard:
    input:
        images=rules.data.output.images,
        captions=rules.data.output.captions,
    output:
        features=temp(
            "results/features/{dataset}/train/{encoder}.shard{shard}.safetensors"
        ),
    log:
        "results/logs/encode-shard/{dataset}.train.{encoder}.shard{shard}.log",
    benchmark:
        "results/benchmarks/encode-shard/{dataset}.train.{encoder}.shard{shard}.tsv"
    params:
        code=code("ngw.tasks.stages:encode", JOB.encoder_kind),
        outside=outside(JOB.encoder_sources),
        spec=JOB.encoder_spec,
        tables=input_folder,
        shards=CONFIG.shards,
    shell:
        "python -m ngw encode --tables {params.tables:q} --dataset {wildcards.dataset} --split train"
        " --shard {wildcards.shard}/{params.shards} --encoder {wildcards.encoder} --spec {params.spec:q}"
        " --output {output.features:q} > {log} 2>&1"


rule gather:
    input:
        shards=expand(
            rules.encode_shard.output.features,
            shard=range(1, CONFIG.shards + 1),
            allow_missing=True,
        ),
    output:
        features="results/features/{dataset}/{split}/{encoder}.safetensors",
    log:
        "results/logs/gather/{dataset}.{split}.{encoder}.log",
    benchmark:
        "results/benchmarks/gather/{dataset}.{split}.{encoder}.tsv"
    wildcard_constraints:
        split="(?!)" if CONFIG.shards == 1 else "train",
    params:
        code=code("ngw.tasks.stages:gather"),
    shell:
        "python -m ngw gather --shards {input.shards:q} --output {output.features:q} > {log} 2>&1"
