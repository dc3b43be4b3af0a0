"""A SLURM without an accounting database, where ended jobs are known to squeue for a while."""

from __future__ import annotations

from runs import TABLE, Run


def test_the_profile_needs_one_line_more(bare_cluster, local, copy):
    profile = copy / "profiles/slurm/config.yaml"
    text = profile.read_text()
    assert "\n# slurm-status-command: squeue" in text
    profile.write_text(text.replace("\n# slurm-status-command: squeue", "\nslurm-status-command: squeue"))
    run = Run(copy, TABLE)
    assert run.wait() == 0, run.text[-5000:]
    assert (copy / TABLE).read_bytes() == (local / TABLE).read_bytes()
