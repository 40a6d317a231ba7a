"""The triples of the recipe, by ``medi build`` over the sources of ``medi.toml``.

python -m recipes.mini.triples OUTPUT.jsonl --data DATA [--limit 4000]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from instructor_embedding.medi.build import Progress, build
from instructor_embedding.medi.config import with_options
from recipes.mini import sources


def main() -> None:
    """Write the triples and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()

    def show(step: Progress) -> None:
        print(f"{step.done}/{step.total} {step.name}: {step.triples} triples", flush=True)

    build(with_options(sources.configuration(arguments.data, arguments.output), arguments.limit, ()), progress=show)


if __name__ == "__main__":
    main()
