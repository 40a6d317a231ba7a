"""Executes the cells of examples/*.ipynb and stores their outputs; `--check` compares with the stored ones.

No part of Jupyter is needed: cells run in this process, in order, in one namespace.
"""

import ast
import base64
import contextlib
import io
import json
import math
import re
import sys
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# vectors differ by the kernels of a CPU, so that printed cosines and shares of nearest neighbors may
RELATIVE, ABSOLUTE = 0.1, 0.07
VALUE = re.compile(r"-?\d+\.\d+")
DOTS_PER_INCH = 72


def pictures() -> list[dict[str, Any]]:
    """Return the open figures of pyplot as outputs, and close them."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    outputs: list[dict[str, Any]] = []
    for number in pyplot.get_fignums() if pyplot else ():
        content = io.BytesIO()
        pyplot.figure(number).savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        data = {"image/png": base64.b64encode(content.getvalue()).decode() + "\n", "text/plain": ["<Figure>"]}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        pyplot.close(number)
    return outputs


def execute(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Run one cell; return what it prints, warns of, draws, and the value of its last expression."""
    statements = ast.parse(source).body
    last = statements.pop() if statements and isinstance(statements[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        exec(compile(ast.Module(statements, []), "<cell>", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    warned = "".join(f"{warning.category.__name__}: {warning.message}\n" for warning in raised)
    outputs = [
        {"output_type": "stream", "name": name, "text": text.splitlines(keepends=True)}
        for name, text in (("stdout", printed.getvalue()), ("stderr", warned))
        if text
    ]
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        outputs.append({"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}})
    return outputs + pictures()


def run(path: Path) -> dict[str, Any]:
    """Return the notebook with the outputs of this run."""
    with contextlib.suppress(ImportError):
        import matplotlib

        matplotlib.use("Agg")
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(cells, 1):
        cell["execution_count"] = count
        cell["outputs"] = execute("".join(cell["source"]), names, count)
    return notebook


def texts(notebook: dict[str, Any]) -> list[str]:
    """Return what the cells print, one string per output; a picture counts as one without its content."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return ["".join(output.get("text") or output["data"]["text/plain"]) for output in outputs]


def difference(stored: dict[str, Any], fresh: dict[str, Any]) -> str:
    """Return the first output that differs by more than rounding, or an empty string."""
    before, after = texts(stored), texts(fresh)
    if len(before) != len(after):
        return f"{len(before)} outputs are stored, the cells make {len(after)}"
    for earlier, later in zip(before, after, strict=True):
        values = [[float(value) for value in VALUE.findall(text)] for text in (earlier, later)]
        same = re.split(VALUE, earlier) == re.split(VALUE, later)
        pairs = zip(*values, strict=True) if same else ()
        if not same or not all(math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in pairs):
            return f"stored:\n{earlier}\nnow:\n{later}"
    return ""


def main() -> None:
    """Write or compare the notebooks."""
    for path in NOTEBOOKS:
        fresh = run(path)
        if "--check" not in sys.argv:
            path.write_text(json.dumps(fresh, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        elif problem := difference(json.loads(path.read_text(encoding="utf-8")), fresh):
            sys.exit(f"{path.name} is stale; run: make notebooks\n{problem}")


if __name__ == "__main__":
    main()
