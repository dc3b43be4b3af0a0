# Zero-shot classification: prompts through the text encoders, every run's classes of labelled images, a linear probe.
rule encode_classes:
    input:
        classes=rules.data.output.classes,
    output:
        features="results/features/{dataset}/{encoder}.classes.safetensors",
    log:
        "results/logs/encode-classes/{dataset}.{encoder}.log",
    benchmark:
        "results/benchmarks/encode-classes/{dataset}.{encoder}.tsv"
    params:
        code=code("ngw.tasks.classification.stages:encode_classes", JOB.encoder_kind),
        outside=outside(JOB.encoder_sources),
        spec=JOB.encoder_spec,
        templates=JOB.templates,
    shell:
        "python -m ngw encode-classes --classes {input.classes:q} --dataset {wildcards.dataset}"
        " --encoder {wildcards.encoder} --spec {params.spec:q} {params.templates} --output {output.features:q}"
        " > {log} 2>&1"


rule classification:
    input:
        fitted=JOB.fitted("classification"),
        images=CONFIG.classification.of_sets(
            "results/features/{set}/test/{vision}.safetensors"
        ),
        classes=CONFIG.classification.of_sets(
            "results/features/{set}/{text}.classes.safetensors"
        ),
        labels=CONFIG.classification.of_sets("results/data/{set}/labels.parquet"),
    output:
        done=done("classification"),
    log:
        f"results/logs/classification/{BATCH_NAME}.log",
    benchmark:
        f"results/benchmarks/classification/{BATCH_NAME}.tsv"
    wildcard_constraints:
        method=named("classification"),
    params:
        code=code(
            "ngw.tasks.classification.stages:classification",
            JOB.kinds("classification"),
        ),
        runs=JOB.runs("classification"),
    shell:
        "python -m ngw batch classification --runs {params.runs:q} --inputs {input.images:q} {input.classes:q} {input.labels:q}"
        " --done {output.done:q} -- --images {input.images:q} --classes {input.classes:q} --labels {input.labels:q}"
        " > {log:q} 2>&1"


rule linear_probe:
    input:
        train="results/features/{dataset}/train/{vision}.safetensors",
        test="results/features/{dataset}/test/{vision}.safetensors",
        labels=rules.data.output.labels,
        classes=rules.data.output.classes,
    output:
        predictions="results/probes/{dataset}/{vision}.parquet",
        record="results/probes/{dataset}/{vision}.json",
    log:
        "results/logs/linear-probe/{dataset}.{vision}.log",
    benchmark:
        "results/benchmarks/linear-probe/{dataset}.{vision}.tsv"
    params:
        code=code("ngw.tasks.classification.stages:linear_probe"),
    shell:
        "python -m ngw linear-probe --train {input.train:q} --test {input.test:q} --labels {input.labels:q}"
        " --classes {input.classes:q} --predictions {output.predictions:q} --record {output.record:q} > {log} 2>&1"


rule classification_tables:
    input:
        runs=made("classification", CONFIG.classification.cells()),
        probes=CONFIG.classification.probes("json"),
        probed=CONFIG.classification.probes("parquet"),
    output:
        csv=shown("Classification", "results/tables/classification.csv"),
        md="results/tables/classification.md",
        tex="results/tables/classification.tex",
        txt="results/tables/classification.txt",
        record="results/tables/classification.json",
        differences=multiext(
            "results/tables/classification-differences", ".csv", ".json"
        ),
        against=multiext("results/tables/classification-against-ngw", ".csv", ".json"),
        confusions=multiext("results/tables/classification-confusions", ".csv", ".json"),
    log:
        "results/logs/classification-tables.log",
    benchmark:
        "results/benchmarks/classification-tables.tsv"
    localrule: LOCAL
    params:
        code=code("ngw.report.labelled:classification_tables"),
        cells=verbatim(json.dumps(CONFIG.classification.cells())),
        probes=probe_files,
        folder=output_folder,
    shell:
        "python -m ngw classification-tables --cells {params.cells:q} {params.probes} --output {params.folder:q}"
        " > {log} 2>&1"


rule classification_figures:
    input:
        table=rules.classification_tables.output.csv,
    output:
        shown(
            "Classification",
            drawn(
                "classification",
                CONFIG.vision_text_names(CONFIG.classification.sets),
            ),
        ),
    log:
        "results/logs/classification-figures.log",
    benchmark:
        "results/benchmarks/classification-figures.tsv"
    localrule: True
    params:
        code=code("ngw.report.labelled:classification_figures"),
        folder=output_folder,
    shell:
        "python -m ngw classification-figures --table {input.table:q} --output {params.folder:q} > {log} 2>&1"
