"""The one part of the package that is compiled; where that fails, it is installed without it."""

import sysconfig

from setuptools import Extension, setup

PREFILTER_SCAN = Extension(
    "sovdev_logger._safety.prefilter_scan",
    ["src/sovdev_logger/_safety/prefilter_scan.c"],
    py_limited_api=True,
    optional=True,
)

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    setup()  # such an interpreter has no stable interface to compile for
else:
    # One wheel for all interpreters from 3.11 on.
    setup(ext_modules=[PREFILTER_SCAN], options={"bdist_wheel": {"py_limited_api": "cp311"}})
