"""The bundled model, instructor-mini, from its sources; start with ``python -m recipes.mini.make``."""
