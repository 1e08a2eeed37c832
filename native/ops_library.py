"""Builds native/ops as a library of its own and loads it into Python's torch, for tests and measurements."""
import os
import pathlib
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.utils import cpp_extension

NATIVE = pathlib.Path(__file__).resolve().parent
FLAGS = ["-O3", "-std=c++17", "-fPIC", "-fopenmp", "-Wall", "-Wextra", "-Wno-unused-parameter"]
ARCHITECTURE = NATIVE / "kernels" / platform.machine()
if not ARCHITECTURE.exists():
    ARCHITECTURE = NATIVE / "kernels" / "other"


def _stale(target: pathlib.Path, sources) -> bool:
    return not target.exists() or any(source.stat().st_mtime > target.stat().st_mtime for source in sources)


def _objects(folder: pathlib.Path):
    """Of every object file the files that only it depends on, its source first: the kernels come once for each file of flags."""
    objects = {folder / f"ops-{source.stem}.o": [source] for source in sorted((NATIVE / "ops").glob("*.cc"))}
    for flags in sorted(ARCHITECTURE.glob("*.flags")):
        for source in sorted((NATIVE / "kernels").glob("*.cc")):
            objects[folder / f"kernels-{source.stem}.{flags.stem}.o"] = [source, flags]
    return objects


def _headers():
    return [*(NATIVE / "ops").glob("*.h"), *(NATIVE / "kernels").glob("*.h")]


def _link(library: pathlib.Path, objects, extra=()) -> None:
    paths = [f"-L{path}" for path in cpp_extension.library_paths()]
    subprocess.run(["g++", "-shared", "-fopenmp", *extra, "-o", str(library), *map(str, objects), *paths, "-ltorch",
                    "-ltorch_cpu", "-lc10"], check=True)


def build(folder: pathlib.Path = NATIVE.parent / "build" / "ops-python", extra=(), jobs: int = 2) -> pathlib.Path:
    """Compiles what changed (an object depends on all headers) and returns the library's path."""
    folder.mkdir(parents=True, exist_ok=True)
    includes = [f"-isystem{path}" for path in cpp_extension.include_paths()]
    objects, headers = _objects(folder), _headers()

    def compile_one(compiled):
        source, *flags = objects[compiled]
        own = [f"@{path}" for path in flags]
        subprocess.run(["g++", *FLAGS, *own, *extra, *includes, "-c", str(source), "-o", str(compiled)], check=True)

    todo = [compiled for compiled, own in objects.items() if _stale(compiled, [*own, *headers])]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(compile_one, todo))
    library = folder / "libista_ops.so"
    if todo or _stale(library, objects):
        _link(library, objects, extra)
    return library


def linked_from_the_addon(folder: pathlib.Path = NATIVE.parent / "build") -> pathlib.Path | None:
    """A library of the object files that the addon was linked from, where they are up to date."""
    objects, headers = _objects(folder), _headers()
    if any(_stale(compiled, [*own, *headers]) for compiled, own in objects.items()):
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
