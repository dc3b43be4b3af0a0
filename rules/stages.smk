# Last of all: every table and figure of the config; the time of each stage, from the jobs' benchmark files; the page.
TABLES = [
    rules.tables.output,
    rules.figures.output,
    rules.efficiency_figures.output,
    rules.similarity_tables.output,
    expand(
        "results/figures/alignment.{name}.png",
        name=CONFIG.vision_text_names(CONFIG.run["datasets"]),
    ),
]
if "classification" in CONFIG.tables:
    TABLES += [
        rules.classification_tables.output,
        rules.classification_figures.output,
    ]
if "identifiability" in CONFIG.tables:
    TABLES += [
        rules.identifiability_tables.output,
        rules.identifiability_figures.output,
    ]
if "ablations" in CONFIG.tables:
    TABLES += [rules.ablation_tables.output, rules.ablation_figures.output]
if "vqa" in CONFIG.tables:
    TABLES += rules.all_vqa.input
if "generation" in CONFIG.tables:
    TABLES += rules.all_generation.input

RECORDED = dict.fromkeys(  # the outputs of the jobs that write the records of all runs
    job for runs in JOB.batches.records().values() for job in runs.values()
)


rule stages:
    input:
        TABLES,
    output:
        multiext("results/tables/stages", ".csv", ".md", ".tex", ".json"),
    log:
        "results/logs/stages.log",
    localrule: True
    params:
        code=code("ngw.report.stages:stages"),
        benchmarks="results/benchmarks",
        folder=output_folder,
    shell:
        "python -m ngw stages --benchmarks {params.benchmarks:q} --output {params.folder:q} > {log} 2>&1"


rule page:
    input:
        TABLES,
        rules.stages.output,
        runs=list(RECORDED),
    output:
        page="results/index.html",
    log:
        "results/logs/page.log",
    localrule: True
    params:
        code=code("ngw.report.stages:page"),
        config=verbatim(as_text(tidy(config))),
    shell:
        "python -m ngw page --tables results/tables --figures results/figures --config {params.config:q}"
        " --output {output.page:q} > {log} 2>&1"
