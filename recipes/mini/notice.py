"""The NOTICE of a bundled model: each source with its licence and where its texts come from.

    python -m recipes.mini.notice OUTPUT --data DATA [--card CARD.md]

lists the sources that ``medi.toml`` allows or, with ``--card``, those that a model's card names.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from recipes.mini import sources

_HEAD = """NOTICE of instructor-mini

The weights were trained on texts of the sources below. No text of them is part of this package.
The teacher, sentence-transformers/all-MiniLM-L6-v2, is licensed under Apache-2.0; none of its weights are part of this
package, its WordPiece vocabulary may be.
For each source: its licence as its publishers state it, and the repositories, with commits, that its texts come from.
"""
_ATTRIBUTION = """
(c) The MITRE Corporation. ATT&CK and CAPEC texts are reproduced and distributed with the permission of The MITRE
Corporation.
Open English WordNet is derived from Princeton WordNet, Copyright 2006 by Princeton University. All rights reserved.
Texts under CC BY and CC BY-SA were extracted, sampled and de-duplicated, and are otherwise unchanged.
"""
_SHORTEST = 200  # characters of a licence text
_STANDARD = re.compile(
    r"^\W*(Creative Commons (Legal Code|Corporation)|Apache License\s*$|Attribution[- ][\w -]* ?[\d.]+ International)",
    re.MULTILINE | re.IGNORECASE,
)
_UNSTATED = re.compile(r"none stated|public .* sites|per-repository|own terms|terms of their own|FAQ pages|C-UDA")


def entries(data: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of all catalogs by the file's path without endings."""
    catalog = {}
    for folder in ("train", "train_extra"):
        content = json.loads((data / folder / "SOURCES.json").read_text(encoding="utf-8"))
        for entry in (*content["pairs"], *content.get("super_ni", [])):
            catalog[entry["file"].partition(".")[0]] = entry
    return catalog


def notice(names: list[str], catalog: dict[str, dict[str, Any]], licences: Path) -> str:
    """Return the text of the notice for sources by their path without endings."""
    unstated = [name for name in names if _UNSTATED.search(catalog[name]["licence"])]
    lines = [_HEAD]
    for name in sorted(set(names)):
        entry = catalog[name]
        lines += [
            name,
            f"    {entry['licence']}",
            *(f"    https://github.com/{origin}" for origin in entry["sources"]),
            "",
        ]
    lines.append(_ATTRIBUTION.lstrip())
    if unstated:
        lines.append(
            "The licence of the texts of these sources is not stated, or is that of another work (a repository, a\n"
            "prompt):"
            f" {', '.join(sorted(set(unstated)))}.\nThe next model is trained without them, except for tasks of "
            "super_ni that state an open licence of their own.\n"
        )
    repositories = {origin.partition("@")[0] for name in names for origin in catalog[name]["sources"]}
    return "\n".join([*lines, *_licences(licences, repositories)])


def _licences(folder: Path, repositories: set[str]) -> list[str]:
    """Return the licence files of repositories, without the standard texts of Creative Commons and Apache."""
    sections = [
        "Licence files of repositories. The texts of the standard licences are at https://creativecommons.org and\n"
        "https://www.apache.org/licenses/LICENSE-2.0.\n"
    ]
    for repository in sorted(repositories):
        path = folder / f"{repository.replace('/', '+')}.txt"
        if path.is_file():
            text = _STANDARD.split(path.read_text(encoding="utf-8"))[0].strip()
            if len(text) < _SHORTEST:
                continue  # a standard licence without anything of its own
            sections.append(f"{'=' * 80}\n{repository}\n\n{text}\n")
    return sections


def main() -> None:
    """Write the notice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--card", type=Path)
    arguments = parser.parse_args()
    catalog = entries(arguments.data)
    if arguments.card:
        card = arguments.card.read_text(encoding="utf-8")
        names = [name for name in re.findall(r"\w+/\w+", card.partition("## Data")[2]) if name in catalog]
    else:
        names = [
            source.path.relative_to(selection.home).as_posix().partition(".")[0]
            for selection in sources.configuration(arguments.data).sources
            for source in selection.sources()
        ]
    arguments.output.write_text(notice(names, catalog, arguments.data / "train" / "licences"), encoding="utf-8")


if __name__ == "__main__":
    main()
