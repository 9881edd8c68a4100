"""A wheel with the library in it is one of this machine's kind, for every Python 3; without it, one for any machine. All else is in pyproject.toml."""

import pathlib

from setuptools import setup
from wheel.bdist_wheel import bdist_wheel


class Wheel(bdist_wheel):
    def get_tag(self):
        *_, platform = super().get_tag()
        return "py3", "none", platform

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = not list(pathlib.Path("millrace").glob("libmillrace.so*"))


setup(cmdclass={"bdist_wheel": Wheel})
