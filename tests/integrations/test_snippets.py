"""The snippets of docs/integrations.md run, each where its framework is installed."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent.parent / "docs" / "integrations.md").read_text(encoding="utf-8")
MODULES = {
    "LangChain": "langchain_core",
    "LlamaIndex": "llama_index",
    "Haystack": "haystack",
    "Chroma": "chromadb",
    "LanceDB": "lancedb",
    "scikit-learn": "sklearn",
    "BERTopic": "bertopic",
    "KeyBERT": "keybert",
}


def test_every_section_has_one():
    assert re.findall(r"^## (.+)$", PAGE, re.M) == list(MODULES)


@pytest.mark.parametrize("framework", MODULES)
def test_snippet(framework):
    if find_spec(MODULES[framework]) is None:
        pytest.skip(f"{framework} is not installed")
    section = PAGE.partition(f"## {framework}\n")[2].partition("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", section, re.S)[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
