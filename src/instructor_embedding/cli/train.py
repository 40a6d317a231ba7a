"""``instructor-embed train``: the flags of the original's train.py, of transformers, and of this package."""

from __future__ import annotations

from typing import Annotated

import typer


def train(
    context: typer.Context,
    all_flags: Annotated[bool, typer.Option("--all-flags", help="List every flag with its default and exit.")] = False,
) -> None:
    """Train a model on your own data, on MEDI, on a teacher's vectors, or on several of these.

    Flags, or a toml file with the same names as first argument; flags override it.

    Start: --model_name_or_path (instructor-mini, a hub id, a folder) or --init tiny|micro|mini|small|base|large|xl;
    --max_source_length, --dropout, --freeze, --lora_rank, --lora_alpha, --lora_targets.

    Data: --train_file (several files, folders, globs, saved datasets, hub ids), --cache_dir (holds medi-data.json),
    --columns, --query_instruction, --document_instruction, --instructions, --negatives, --hold_back, --max_examples;
    --mixing size|equal|temperature|weights, --task_weights, --mixing_temperature, --batches shuffled|original.

    Loss: --cl_temperature, --loss_form original|in-batch, --mask_duplicates, --false_negative_margin,
    --matryoshka_dims, --cross_device_negatives.

    Teacher: --teacher, --teacher_cache, --text_file, --text_instruction, --distill_loss, --distill_weight,
    --distill_skip.

    Run: --output_dir (a stopped run resumes from there), --num_train_epochs, --max_steps,
    --per_device_train_batch_size, --learning_rate, --warmup_ratio, --bf16, --chunk_tokens, --save_steps, --average.

    Scores: --dev_files, --dev_dims, --eval_strategy, --eval_steps, --eval_on_start.
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
