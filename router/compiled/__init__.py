"""Compiled routers: the same decisions from one ONNX graph, faster with int8 and a static first tier.

`load` opens a form and needs neither torch nor scikit-learn; `router.compiled.export` makes one.
"""

from router.compiled.files import load
from router.compiled.router import CompiledReading, CompiledRouter, Decides

__all__ = ["CompiledReading", "CompiledRouter", "Decides", "load"]
