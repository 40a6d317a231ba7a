"""``python -m instructor_embedding`` is the command ``instructor-embed``."""

from instructor_embedding.cli.main import main

if __name__ == "__main__":
    main()
