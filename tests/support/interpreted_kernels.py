"""Kernels as plain Python, on a machine without Cython, to hold the compiled ones against."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import genescale.genomics.kernels


def interpreted_kernels(*names: str) -> list[ModuleType]:
    """Load these kernels uncompiled, in this order: one that imports another finds the plain one."""
    folder = Path(genescale.genomics.kernels.__file__).parent
    loaded: list[ModuleType] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cython", None)
        for name in names:
            full = f"genescale.genomics.kernels.{name}"
            spec = importlib.util.spec_from_file_location(full, folder / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            patch.setitem(sys.modules, full, module)
            patch.setattr(genescale.genomics.kernels, name, module, raising=False)
            spec.loader.exec_module(module)
            assert not module.COMPILED
            loaded.append(module)
    return loaded
