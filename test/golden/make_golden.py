# Makes the golden files of this folder: /usr/bin/python3 test/golden/make_golden.py [FAMILY ...]
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "bench" / "peer")]

import torch  # noqa: E402

import darts_cases  # noqa: E402
import nas_bench_201_cases  # noqa: E402
import network_cases  # noqa: E402
import operator_cases  # noqa: E402
from ista_nas import check_published_sizes  # noqa: E402
from nas_bench_201 import check_known_sizes  # noqa: E402

FAMILIES = {
    "operators": operator_cases.operators,
    "blocks": operator_cases.blocks,
    "nodes": operator_cases.nodes,
    "optimisers": operator_cases.optimisers,
    "losses": operator_cases.losses,
    "two-stage": network_cases.two_stage,
    "one-stage": network_cases.one_stage,
    "evaluation": network_cases.evaluation,
    "trajectory": network_cases.trajectory,
    "nas-bench-201": nas_bench_201_cases.networks,
    "nas-bench-201-sizes": nas_bench_201_cases.sizes,
    "darts": lambda: darts_cases.searches("darts"),
    "pc-darts": lambda: darts_cases.searches("pc-darts"),
    "discretisation": darts_cases.discretisation,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    check_published_sizes()
    check_known_sizes()
    total = sum(FAMILIES[name]().save(HERE) for name in sys.argv[1:] or FAMILIES)
    print(f"{total:,} bytes in all")
