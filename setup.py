"""The one part of the package that is compiled; where that fails, it is installed without it."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "sovdev_logger.safety.first_look",
            ["src/sovdev_logger/safety/first_look.c"],
            py_limited_api=True,
            optional=True,
        )
    ],
    # One wheel for all interpreters from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
