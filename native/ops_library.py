"""Builds native/ops as a library of its own and loads it into Python's torch, for tests and measurements."""
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.utils import cpp_extension

NATIVE = pathlib.Path(__file__).resolve().parent
FLAGS = ["-O3", "-std=c++17", "-fPIC", "-march=native", "-fopenmp", "-Wall", "-Wextra", "-Wno-unused-parameter"]


def _stale(target: pathlib.Path, sources) -> bool:
    return not target.exists() or any(source.stat().st_mtime > target.stat().st_mtime for source in sources)


def _link(library: pathlib.Path, objects, extra=()) -> None:
    paths = [f"-L{path}" for path in cpp_extension.library_paths()]
    subprocess.run(["g++", "-shared", "-fopenmp", *extra, "-o", str(library), *map(str, objects), *paths, "-ltorch",
                    "-ltorch_cpu", "-lc10"], check=True)


def build(folder: pathlib.Path = NATIVE.parent / "build" / "ops-python", extra=(), jobs: int = 2) -> pathlib.Path:
    """Compiles what changed (an object depends on all headers) and returns the library's path."""
    folder.mkdir(parents=True, exist_ok=True)
    headers = list((NATIVE / "ops").glob("*.h"))
    sources = sorted((NATIVE / "ops").glob("*.cc"))
    includes = [f"-isystem{path}" for path in cpp_extension.include_paths()]
    objects = {source: folder / f"{source.stem}.o" for source in sources}

    def compile_one(source):
        subprocess.run(["g++", *FLAGS, *extra, *includes, "-c", str(source), "-o", str(objects[source])], check=True)

    todo = [source for source in sources if _stale(objects[source], [source, *headers])]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(compile_one, todo))
    library = folder / "libista_ops.so"
    if todo or _stale(library, objects.values()):
        _link(library, objects.values(), extra)
    return library


def linked_from_the_addon(folder: pathlib.Path = NATIVE.parent / "build") -> pathlib.Path | None:
    """A library of the object files that the addon was linked from, where they are up to date."""
    sources = list((NATIVE / "ops").glob("*.cc"))
    objects = [folder / f"ops-{source.stem}.o" for source in sources]
    headers = list((NATIVE / "ops").glob("*.h"))
    if any(_stale(compiled, [source, *headers]) for source, compiled in zip(sources, objects)):
        return None
    library = folder / "libista_ops.so"
    if _stale(library, objects):
        _link(library, objects)
    return library


def load():
    """The operators as `torch.ops.ista`. ISTA_OPS_LIBRARY names a library that is built already."""
    named = os.environ.get("ISTA_OPS_LIBRARY")
    library = named or linked_from_the_addon()
    try:
        torch.ops.load_library(str(library or build()))
    except OSError:
        # The addon's objects may belong to another libtorch than Python's.
        if named or library is None:
            raise
        torch.ops.load_library(str(build()))
    return torch.ops.ista


if __name__ == "__main__":
    print(build(extra=sys.argv[1:]))
