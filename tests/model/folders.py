"""Folders in every layout that is in use, made from one of our own."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def copied(source, target):
    shutil.copytree(source, target)
    return Path(target)


def edited(path, **changes):
    """Change keys of a json object; None removes one."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content = {key: value for key, value in (content | changes).items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")


def retyped(folder, types):
    """Give the modules other types and paths."""
    entries = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for entry, (kind, path) in zip(entries, types, strict=True):
        if path != entry["path"]:
            (folder / entry["path"]).rename(folder / path)
        entry |= {"type": kind, "path": path}
    (folder / "modules.json").write_text(json.dumps(entries), encoding="utf-8")


def hkunlp(folder):
    """As on the hub: a stale pooling width, no Normalize folder, fixed padding in the tokenizer."""
    edited(folder / "1_Pooling" / "config.json", word_embedding_dimension=768)
    for path in folder.glob("*_Normalize"):
        shutil.rmtree(path)
    padding = {"strategy": {"Fixed": 512}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"}
    cut = {"direction": "Right", "max_length": 512, "strategy": "LongestFirst", "stride": 0}
    edited(folder / "tokenizer.json", padding=padding | {"pad_to_multiple_of": None}, truncation=cut)


def as_safetensors(folder):
    for path in [*folder.glob("pytorch_model.bin"), *folder.glob("*/pytorch_model.bin")]:
        tensors = torch.load(path, weights_only=True)
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, path.with_name("model.safetensors"))
        path.unlink()


def sharded(folder, shards=3):
    """Split the encoder's safetensors file as transformers does."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shard_of = {name: f"model-{1 + number % shards:05}-of-{shards:05}.safetensors" for number, name in enumerate(names)}
    for file in set(shard_of.values()):
        save_file({name: tensors[name] for name in names if shard_of[name] == file}, folder / file)
    (folder / "model.safetensors").unlink()
    index = {"metadata": {"total_size": 1}, "weight_map": shard_of}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def original_save(folder):
    """As the original's own ``save()`` leaves it: types that name a module and no class."""
    own = "InstructorEmbedding.instructor"
    plain = "sentence_transformers.models"
    retyped(
        folder,
        [
            (own, ""),
            (own, "1_INSTRUCTOR_Pooling"),
            (f"{plain}.Dense", "2_Dense"),
            (f"{plain}.Normalize", "3_Normalize"),
        ],
    )


def sentence_transformers_6(folder):
    """As sentence-transformers 6 saves: long type names, short pooling config, the limit in the tokenizer's config."""
    base = "sentence_transformers.base.modules"
    retyped(
        folder,
        [
            (f"{base}.transformer.Transformer", ""),
            ("sentence_transformers.sentence_transformer.modules.pooling.Pooling", "1_Pooling"),
            (f"{base}.dense.Dense", "2_Dense"),
            (f"{base}.normalize.Normalize", "3_Normalize"),
        ],
    )
    pooling = {"embedding_dimension": 768, "pooling_mode": "mean", "include_prompt": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text('{"transformer_task": "feature-extraction"}', encoding="utf-8")
    as_safetensors(folder)


def in_subfolder(folder):
    """As sentence-transformers 0.x and 1.x saved: the encoder in a folder of its own."""
    home = folder / "0_Transformer"
    home.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(home / path.name)
    entries = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    entries[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(entries), encoding="utf-8")


def plain_t5(folder):
    """A T5 folder of transformers without modules, its encoder inside a complete sequence-to-sequence model."""
    for path in [*folder.glob("[0-9]_*"), folder / "modules.json", folder / "sentence_bert_config.json"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    path = folder / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    extra = {
        name.replace("encoder.", "decoder."): tensor.clone()
        for name, tensor in tensors.items()
        if name.startswith("encoder.")
    }
    extra["decoder.block.0.layer.1.EncDecAttention.q.weight"] = torch.zeros(64, 64)
    extra["lm_head.weight"] = torch.zeros(8, 64)
    torch.save(tensors | extra, path)


def embedding_alias(folder):
    """The embedding under its second name alone."""
    path = folder / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    torch.save(tensors, path)


def wrapped_names(folder):
    """Names as a saved ``state_dict`` of the original carries them."""
    path = folder / "pytorch_model.bin"
    torch.save({f"auto_model.{name}": value for name, value in torch.load(path, weights_only=True).items()}, path)


def old_torch_format(folder):
    """Files as torch wrote them before 1.6, which cannot be mapped."""
    for path in [*folder.glob("pytorch_model.bin"), *folder.glob("*/pytorch_model.bin")]:
        torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)


def half_stored(folder):
    """Weights stored as float16; vectors differ by what that storage lost."""
    path = folder / "pytorch_model.bin"
    torch.save({name: value.half() for name, value in torch.load(path, weights_only=True).items()}, path)


LAYOUTS = (
    hkunlp,
    as_safetensors,
    original_save,
    sentence_transformers_6,
    in_subfolder,
    embedding_alias,
    wrapped_names,
    old_torch_format,
)
