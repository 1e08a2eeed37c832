"""Makes lasso.json: LASSO solutions and paths by scikit-learn, and a sequence of steps by torch.optim.Adam.

Run with a Python that has numpy, scikit-learn and torch:  python3 make_lasso_golden.py > lasso.json
"""

import json

import numpy as np
import sklearn
import torch
from sklearn.linear_model import Lasso, lars_path

SPARSITY = 2
random = np.random.RandomState(20201)


def problems():
    for kind in ("uniform", "gaussian"):
        for rows, columns in ((7, 14), (7, 21), (7, 28), (7, 35), (12, 80), (30, 10)):
            if kind == "uniform":
                matrix = random.uniform(size=(rows, columns))
            else:
                matrix = random.normal(size=(rows, columns)) / np.sqrt(rows)
            yield kind, matrix, 1e-3 * random.normal(size=rows)


def lasso_case(kind, matrix, target, share):
    rows, columns = matrix.shape
    penalty = share * np.abs(matrix.T @ target).max()
    # scikit-learn minimises 1/(2 rows) ||y - X w||^2 + alpha ||w||_1. Scaling the target to length 1 suits its stopping rule.
    scale = np.linalg.norm(target)
    model = Lasso(alpha=penalty / scale / rows, fit_intercept=False, tol=1e-15, max_iter=5_000_000)
    solution = model.fit(matrix, target / scale).coef_ * scale
    return {
        "kind": kind,
        "rows": rows,
        "columns": columns,
        "matrix": matrix.ravel().tolist(),
        "target": target.tolist(),
        "lambda": penalty,
        "solution": solution.tolist(),
        "pathSupport": path_support(matrix, target),
    }


def path_support(matrix, target):
    """Support of the last stretch of the path with exactly SPARSITY active columns, or None; judged between the knots."""
    scale = np.linalg.norm(target)
    _, _, knots = lars_path(matrix, target / scale, method="lasso", alpha_min=1e-12)
    supports = [np.flatnonzero(np.abs(a + b) > 1e-14).tolist() for a, b in zip(knots.T[:-1], knots.T[1:])]
    fitting = [support for support in supports if len(support) == SPARSITY]
    return fitting[-1] if fitting else None


def adam_case(options):
    parameters = torch.tensor(random.normal(size=7) * 1e-3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([parameters], **options)
    start = parameters.detach().tolist()
    gradients, sequence = [], []
    for _ in range(20):
        gradient = torch.tensor(random.normal(size=7) * 10.0 ** random.randint(-6, 2), dtype=torch.float64)
        parameters.grad = gradient
        optimizer.step()
        gradients.append(gradient.tolist())
        sequence.append(parameters.detach().tolist())
    return {"options": options, "start": start, "gradients": gradients, "sequence": sequence}


print(
    json.dumps(
        {
            "madeBy": f"test/golden/make_lasso_golden.py with scikit-learn {sklearn.__version__}, torch {torch.__version__}",
            "lasso": [
                lasso_case(*problem, share) for problem, share in zip(problems(), [0.02, 0.1, 0.5] * 4)
            ],
            "adam": [
                adam_case({"lr": 6e-4, "betas": (0.5, 0.999), "weight_decay": 1e-3}),
                adam_case({"lr": 3e-4, "betas": (0.9, 0.99), "weight_decay": 0.0}),
            ],
        },
        indent=None,
    )
)
