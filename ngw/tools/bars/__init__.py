"""A folder of Snakemake's plugins: it finds them by their names on Python's path, and `ngw run` puts this one there."""

from pathlib import Path

FOLDER = Path(__file__).parent
