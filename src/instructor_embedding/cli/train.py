"""``instructor-embed train``: the flags of the original's train.py, of transformers, and of this package."""

from __future__ import annotations

from typing import Annotated

import typer


def train(
    context: typer.Context,
    all_flags: Annotated[bool, typer.Option("--all-flags", help="List every flag with its default and stop.")] = False,
) -> None:
    """Train a model on MEDI triples, a teacher's vectors or both; flags, or a toml file with the same names.

    What to start from: --model_name_or_path (a hub id or folder) or --init tiny|mini|small|base.
    What to learn from: --cache_dir (holds medi-data.json), --train_file, --text_file, --teacher.
    Where to: --output_dir; checkpoints and history go there too, and a stopped run goes on from there.
    How: --num_train_epochs, --max_steps, --per_device_train_batch_size, --learning_rate, --cl_temperature, --bf16, ...
    """
    from instructor_embedding.extras import need

    for library in ("transformers", "accelerate"):
        need(library, "training")
    if all_flags:
        from instructor_embedding.training.arguments import flags_help

        typer.echo(flags_help())
        return
    from instructor_embedding.training.run import Interrupted
    from instructor_embedding.training.run import train as run

    try:
        run(context.args)
    except Interrupted as stop:
        typer.echo(f"instructor-embed: {stop}", err=True)
        raise typer.Exit(130) from None
