"""Damaged model folders: each is refused by a CheckpointError, or loads and gives vectors; nothing in it is run."""

import io
import json
import os
import pickle
import random
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR, quantize
from instructor_embedding.encoder import Encoder
from instructor_embedding.errors import InstructorError
from instructor_embedding.model.folder.write import write
from tests.fuzz.children import forked
from tests.fuzz.mutations import changed_json, damaged
from tests.golden.make_checkpoints import golden_model

LONGEST = 1500  # characters of an error
TEXTS = [["Represent the text: ", "rye bread"], "plum"]


class Payload:
    """Unpickled by a careless reader, it makes a folder."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def folders(home):
    """Make a folder of each format: torch's files, safetensors, and weights in 8 bits."""
    model = golden_model("relu")
    write(model, home / "torch", "legacy-1.0")
    write(model, home / "safetensors")
    quantize(INSTRUCTOR(home / "torch", device="cpu"), "int4").save(home / "int4")
    return [home / name for name in ("torch", "safetensors", "int4")]


def run(home, seed, until):
    """Damage folders until a time; returns counts of outcomes and the failures."""
    sources = folders(home)
    mark = home / "executed"
    counts, failures = {}, []

    def attempt(number):
        chance = random.Random(f"{seed} {number}")
        folder = home / f"damaged-{number}"
        shutil.copytree(chance.choice(sources), folder, copy_function=os.link)
        try:
            change(folder, chance, mark)
            return outcome(folder, chance)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    for number, what in forked(until, attempt):
        name = what if what in ("refused", "loads") else "failed"
        counts[name] = counts.get(name, 0) + 1
        if name == "failed":
            failures.append(f"checkpoint {number}: {what}")
        if mark.exists():
            failures.append(f"checkpoint {number}: code in a pickle was executed")
            mark.rmdir()
    return counts, failures


def outcome(folder, chance):
    """Load a folder and encode with it."""
    try:
        model = INSTRUCTOR(folder, device="cpu") if chance.random() < 0.25 else Encoder(folder)
        vectors = model.encode(TEXTS)
    except InstructorError as error:
        return "refused" if len(str(error)) < LONGEST else f"an error of {len(str(error))} characters"
    assert np.isfinite(vectors).all()
    return "loads"


def change(folder, chance, mark):
    """Damage one file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")
    weights = [path for path in files if path.suffix in (".bin", ".safetensors")]
    path = chance.choice(weights) if chance.random() < 0.4 else chance.choice(files)
    data = path.read_bytes()
    path.unlink()
    if chance.random() < 0.1:
        replace(path, chance)
    elif path.suffix == ".json" and chance.random() < 0.7:
        path.write_bytes(changed_json(data, chance))
    elif path.suffix == ".safetensors" and chance.random() < 0.6:
        path.write_bytes(changed_header(data, chance))
    elif path.suffix == ".bin" and chance.random() < 0.8:
        path.write_bytes(changed_archive(data, chance, mark))
    else:
        path.write_bytes(damaged(data, chance))


def replace(path, chance):
    """Put something else where a file was."""
    kind = chance.randrange(5)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to(chance.choice(("/dev/zero", "/dev/null", path.name, "nowhere")))
    elif kind == 2:
        path.mkdir()
    elif kind == 3:
        path.write_bytes(b"")
    # else it is missing


def changed_header(data, chance):
    """Change the JSON at the head of a safetensors file, whose length is kept right."""
    size = struct.unpack("<Q", data[:8])[0]
    header = changed_json(data[8 : 8 + size], chance) if chance.random() < 0.7 else damaged(data[8 : 8 + size], chance)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def changed_archive(data, chance, mark):
    """Change a member of torch's archive, whose checksums are kept right; the pickle may hold a payload."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stream = next(name for name in members if name.endswith("data.pkl"))
    name = stream if chance.random() < 0.7 else chance.choice(sorted(members))
    if name == stream and chance.random() < 0.2:
        members[name] = pickle.dumps({"shared.weight": Payload(mark)}, chance.choice((0, 2, 4)))
    elif name == stream and chance.random() < 0.5:
        members[name] = members[name].replace(*chance.choice(SWAPS))
    else:
        members[name] = damaged(members[name], chance)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


SWAPS = [
    (b"collections\nOrderedDict", b"builtins\neval"),
    (b"torch._utils\n_rebuild_tensor_v2", b"os\nsystem"),
    (b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_sparse_tensor"),
    (b"FloatStorage", b"ComplexFloatStorage"),
    (b"FloatStorage", b"QInt8Storage"),
    (b"K@", b"K\x00"),
    (b"K@", b"J\xff\xff\xff\x7f"),
    (b"cpu", b"meta"),
]


def repeat(folder, number, seed, home):
    """Write the damaged folder of a number, to look at; see ``python -m tests.fuzz --help``."""
    chance = random.Random(f"{seed} {number}")
    target = Path(folder)
    shutil.copytree(chance.choice(folders(home)), target)
    change(target, chance, home / "executed")
    return json.dumps(sorted(str(path.relative_to(target)) for path in target.rglob("*")))
