"""What pyproject.toml can't say: a wheel carries the top-level folders of the workflow, in ngw/project."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PARTS = ("workflow", "rules", "envs", "profiles", "config.yaml", "constraints.txt")


class WithWorkflow(build_py):
    """Copies them beside `ngw/project/__init__.py`; not where a checkout is installed editable, which has them."""

    def run(self):
        super().run()
        for part in () if self.editable_mode else PARTS:
            place = Path(self.build_lib, "ngw/project", part)
            if Path(part).is_dir():
                shutil.rmtree(place, ignore_errors=True)  # of an earlier build
                shutil.copytree(part, place)
            else:
                shutil.copy(part, place)


setup(cmdclass={"build_py": WithWorkflow})
