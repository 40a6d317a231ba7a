"""The path of a text is the one in docs/architecture.md, and no module is entered again from below."""

import re
import sys
import threading
from pathlib import Path

import pytest

from instructor_embedding import INSTRUCTOR, Encoder
from instructor_embedding.engine.native_library import kernels

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
PACKAGE = "instructor_embedding."
# a decorator that checks keywords wraps the public methods; it is not a step
WRAPPERS = {"errors"}


def traced(call):
    """Return the functions of the package that a call runs, in their order, and the climbs into open modules."""
    functions, climbs, stacks = [], set(), {}

    def profile(frame, event, _):
        module = frame.f_globals.get("__name__", "")
        if event not in ("call", "return") or not module.startswith(PACKAGE):
            return
        module, name = module.removeprefix(PACKAGE), frame.f_code.co_qualname
        stack = stacks.setdefault(threading.get_ident(), [])
        if event == "return":
            if stack:
                stack.pop()
            return
        if module in stack and stack[-1] != module and module not in WRAPPERS and "<lambda>" not in name:
            climbs.add(f"{stack[-1]} calls {module}.{name}")
        stack.append(module)
        if f"{module}.{name}" not in functions:
            functions.append(f"{module}.{name}")

    sys.setprofile(profile)
    threading.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return functions, climbs


@pytest.mark.parametrize("kind", [INSTRUCTOR, Encoder])
def test_the_path_is_the_documented_one(kind):
    if not kernels():
        pytest.skip("the compiled engine is not available")
    model = INSTRUCTOR(device="cpu", precision="exact") if kind is INSTRUCTOR else Encoder(precision="exact")
    pairs = [["Represent the title: ", "QCD"], ["Represent the title: ", "Parton energy loss"]]
    model.encode(pairs)
    functions, climbs = traced(lambda: model.encode(pairs))
    assert not climbs
    documented = re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.M)
    documented = [name for name in documented if "." in name]
    if kind is Encoder:
        of_torch = ("instructor.", "engine.runtime.", "engine.conversion.")
        documented = [name for name in documented if not name.startswith(of_torch)]
    assert [name for name in documented if name not in functions] == []
    assert documented == sorted(documented, key=functions.index)
