"""``instructor-embed info``: what a model is."""

from __future__ import annotations

import json

import typer

from instructor_embedding.cli import options


def info(
    name: options.ModelArgument = None,
    *,
    model: options.ModelOption = None,
    as_json: options.Json = False,
) -> None:
    """Print a model's shape, limits and size."""
    from instructor_embedding.model.lowbit_layers import count_parameters, weight_dtypes

    name = options.chosen_model(model, name)
    embedder = options.load(name, "cpu", "float32")
    config, tokens = embedder.encoder.config, embedder.tokens
    gate = "gated " if config.gated else ""
    facts = {
        "model": name,
        "dimensions": embedder.dimension,
        "max_seq_length": tokens.max_length,
        "parameters": count_parameters(embedder),
        "weights": ", ".join(weight_dtypes(embedder)),
        "layers": config.num_layers,
        "d_model": config.d_model,
        "heads": config.num_heads,
        "d_kv": config.d_kv,
        "d_ff": config.d_ff,
        "activation": gate + config.activation,
        "vocabulary": tokens.tokenizer.get_vocab_size(),
        "dense": [[layer.linear.in_features, layer.linear.out_features] for layer in embedder.head.dense_layers()],
        "normalized": embedder.head.normalize,
        "lower_cased": tokens.lower,
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for label, value in facts.items():
        shown = f"{value:,}" if label == "parameters" else value
        typer.echo(f"{label.replace('_', ' '):15} {shown}")
