"""Writes docs/cli.md from the commands' own help; `--check` says whether it is stale."""

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "cli.md"
HEAD = "# The command line\n\nThis page is made by `make docs` from the commands' own help.\n"


def help_of(*verbs: str) -> str:
    """Return what `instructor-embed VERBS --help` prints, in a terminal of 100 columns."""
    code = "from instructor_embedding.cli.main import main; main()"
    environment = os.environ | {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    arguments = [sys.executable, "-c", f"import sys; sys.argv[0] = 'instructor-embed'; {code}", *verbs, "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def verbs() -> list[tuple[str, ...]]:
    """Return every verb, those of groups as two words."""
    from typer.main import get_command

    from instructor_embedding.cli.main import app

    found: list[tuple[str, ...]] = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        found += [(name,), *((name, verb) for verb in inner)]
    return found


def page() -> str:
    """Return the whole page."""
    sections = [("instructor-embed", help_of())]
    sections += [(f"instructor-embed {' '.join(verb)}", help_of(*verb)) for verb in verbs()]
    return HEAD + "".join(f"\n## {title}\n\n```text\n{text}\n```\n" for title, text in sections)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else "docs/cli.md is stale; run: make docs")
    PAGE.write_text(page(), encoding="utf-8")
