"""The index: texts, their vectors, and the instruction, model and precision that made them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from instructor_embedding.errors import InputError, choose
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files.manifest import Field, Manifest
from instructor_embedding.files.shards import OWN_COLUMNS, Batch
from instructor_embedding.index import filters, models
from instructor_embedding.index.fusion import fused
from instructor_embedding.index.location import store_of
from instructor_embedding.index.models import IndexModel
from instructor_embedding.index.rows import Row, digest_of, row_of
from instructor_embedding.index.store import Match, Store
from instructor_embedding.instruction import DOCUMENTS, Instruction, Pair, instructions

FIELD = "embedding"
MODES = ("auto", "exact", "approximate", "hybrid")
LARGE = 500_000  # rows from which "auto" uses an approximate index that is there
ROWS = 8192  # that are encoded and stored together


class Added(NamedTuple):
    """Counts of rows: stored for the first time, replaced, and skipped because nothing in them had changed."""

    new: int
    updated: int
    unchanged: int


class Index:
    """Texts that are searched by meaning, in the folder or database of a store.

    Use `create` and `open`. Every row has a text, an id, payload, and one vector per field; a field is an instruction
    for the stored texts with the one for its queries. The manifest records both, the model and its precision, and what
    does not fit them is refused.

    Examples
    --------
    >>> index = Index.create("titles-index", "instructor-mini")  # doctest: +SKIP
    >>> index.add(["Rye bread", "Copper prices"])  # doctest: +SKIP
    Added(new=2, updated=0, unchanged=0)
    >>> index.search("baking", k=1)[0].text  # doctest: +SKIP
    'Rye bread'
    """

    def __init__(self, store: Store, manifest: Manifest, model: IndexModel | None = None) -> None:
        self.store, self.manifest = store, manifest
        self._model = model

    @classmethod
    def create(
        cls,
        location: str,
        model: Any = "instructor-mini",
        *,
        instruction: str | Instruction = DOCUMENTS,
        query_instruction: str | Instruction | None = None,
        field: str = FIELD,
        columns: Mapping[str, str] | None = None,
        store: str | None = None,
    ) -> Index:
        """Make an empty index.

        Parameters
        ----------
        location, store
            See `location.store_of`.
        model : str, INSTRUCTOR or any encoder
        instruction, query_instruction : str or Instruction
            Of stored texts and of queries. Default: those for questions and documents; where only the first is given,
            queries use it too.
        field : str
            Name of the vectors.
        columns : dict of str to str
            Payload columns and their types: text, int, float or bool.

        Raises
        ------
        InputError
            There is an index already, or an argument is not allowed.
        """
        columns = dict(columns or {})
        _check_names(field, columns)
        target = store_of(location, store)
        if target.read_manifest() is not None:
            raise InputError(f"{location} is an index already; add to it, or name another location")
        loaded = models.of(model)
        document, query = instructions(instruction, query_instruction)
        dimension = loaded.encoder.encode([Pair(document, "a text")]).shape[1]
        manifest = Manifest(
            store=target.name,
            model=loaded.name,
            fingerprint=loaded.fingerprint,
            dimension=dimension,
            precision=loaded.precision,
            fields={field: Field(document, query)},
            columns=columns,
        )
        target.create(manifest)
        return cls(target, manifest, loaded)

    @classmethod
    def open(cls, location: str, model: Any = None) -> Index:
        """Open an index; its model is loaded when it is needed, unless one is passed.

        Raises
        ------
        InputError
            There is no index, it is of a later version, or the model is not the one that made it.
        """
        store = store_of(location)
        if "://" not in location:
            manifests.read(location)  # the error of a folder that is not an index
        manifest = store.read_manifest()
        if manifest is None:
            raise InputError(f"{location} is not an index; make one: instructor-embed index build FILE -o {location}")
        loaded = None if model is None else models.of(model)
        if loaded is not None:
            loaded.check(manifest, location)
        return cls(store, manifest, loaded)

    @property
    def model(self) -> IndexModel:
        """The model that makes and searches the vectors."""
        if self._model is None:
            self._model = models.load_for(self.manifest, self.store.location)
        return self._model

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.store.count()

    def add(
        self,
        rows: Iterable[Row | str | Mapping[str, Any]],
        *,
        advance: Callable[[int], object] | None = None,
        size: int = ROWS,
    ) -> Added:
        """Encode and store rows; rows of stored ids are replaced where text or payload differ.

        Parameters
        ----------
        rows : iterable
            `Row`; texts; or dicts with ``text``, ``id`` (default: made of the text) and payload. Read as needed.
        advance : callable, optional
            Is given the number of rows that are done, for a progress bar.
        size : int
            Rows that are encoded and stored together; a process that is killed loses at most these.

        Raises
        ------
        InputError
            A row has an unknown column, or an instruction that is not the index's.
        """
        source, counts = self._rows(rows), np.zeros(3, int)
        with ThreadPoolExecutor(1) as writer:
            pending: Future[None] | None = None
            while some := list(islice(source, size)):
                distinct = {row.id: row for row in some}  # of equal ids the last row counts
                batch, new = self._batch(list(distinct.values()))
                counts += (new, len(batch) - new, len(distinct) - len(batch))
                if pending is not None:
                    pending.result()
                # the store writes while the next rows are encoded
                pending = writer.submit(self.store.upsert, batch) if len(batch) else None
                if advance is not None:
                    advance(len(some))
            if pending is not None:
                pending.result()
        self.manifest = self.store.read_manifest() or self.manifest
        return Added(*map(int, counts))

    def add_field(
        self,
        name: str,
        instruction: str | Instruction,
        query_instruction: str | Instruction | None = None,
        *,
        advance: Callable[[int], object] | None = None,
    ) -> int:
        """Give all rows a vector under a further instruction, and return how many were computed.

        A run that was stopped is continued by the same call.

        Raises
        ------
        InputError
            The field is there with other instructions, or its name is that of a column.
        """
        field = Field(*instructions(instruction, query_instruction), complete=False)
        stored = self.manifest.fields.get(name)
        if stored is None:
            _check_names(name, self.manifest.columns)
            self.manifest = self.manifest.changed(fields={**self.manifest.fields, name: field})
        elif (stored.instruction, stored.query_instruction) != (field.instruction, field.query_instruction):
            raise InputError(
                f"the field {name!r} has the instruction {stored.instruction!r} with {stored.query_instruction!r} for "
                f"queries; name another field for {field.instruction!r}"
            )
        if stored is None or not stored.complete:
            self.store.add_field(self.manifest, name)
        done = 0
        for ids, texts in self.store.without_vector(name, ROWS):
            self.store.set_vectors(name, ids, self.model.vectors(self.manifest, field.instruction, texts))
            done += len(ids)
            if advance is not None:
                advance(len(ids))
        finished = Field(field.instruction, field.query_instruction)
        self.manifest = self.manifest.changed(fields={**self.manifest.fields, name: finished})
        self.store.write_manifest(self.manifest)
        return done

    def delete(self, ids: Sequence[str] | None = None, where: str | None = None) -> int:
        """Delete rows by id, by condition or by both, and return how many.

        Raises
        ------
        InputError
            Neither is given, or a column is unknown.
        """
        if ids is None and where is None:
            raise InputError("delete needs ids or a condition: --id ID, or --where CONDITION")
        return self.store.delete(ids, self._condition(where))

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        field: str | None = None,
        where: str | None = None,
        mode: str = "auto",
        instruction: str | Instruction | None = None,
    ) -> list[Match]:
        """Return the rows nearest to a query, best first.

        Parameters
        ----------
        query : str
        k : int
        field : str, optional
            Vectors to compare with; default: the first.
        where : str, optional
            A condition on payload columns, see `filters.parse`.
        mode : str
            ``"exact"``; ``"approximate"``: by the store's index; ``"hybrid"``: vectors and full text, fused by rank;
            ``"auto"`` (default): exact below 500,000 rows.
        instruction : str, optional
            Refused unless it is the field's own: vectors under another instruction are not comparable.

        Raises
        ------
        InputError
            An argument is not allowed; the message tells what is.
        """
        if not isinstance(query, str) or not query.strip():
            raise InputError(f"the query must be a text, got {query!r}")
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise InputError(f"k must be an integer of at least 1, got {k!r}")
        choose("mode", mode, MODES)
        name = next(iter(self.manifest.fields)) if field is None else field
        chosen = self._field(name, instruction)
        condition = self._condition(where)
        approximate = self._approximate(mode)
        vector = self.model.vectors(self.manifest, chosen.query_instruction, [query])[0]
        if mode != "hybrid":
            return self.store.nearest(name, vector, k, condition, approximate)
        rankings = [
            self.store.nearest(name, vector, max(50, 2 * k), condition, approximate),
            self.store.full_text(query, max(50, 2 * k), condition),
        ]
        return fused(rankings, k)

    def optimize(self, approximate: bool = False) -> None:
        """Compact the store; with `approximate`, make an approximate index for each field."""
        self.store.optimize(approximate)

    def info(self) -> dict[str, Any]:
        """Return what is known of the index, for a report."""
        manifest = self.manifest
        return {
            "location": self.store.location,
            "store": manifest.store,
            "rows": len(self),
            "model": manifest.model,
            "fingerprint": manifest.fingerprint,
            "precision": manifest.precision,
            "dimensions": manifest.dimension,
            "fields": {
                name: {"instruction": field.instruction, "query_instruction": field.query_instruction}
                | ({} if field.complete else {"complete": False})
                for name, field in manifest.fields.items()
            },
            "columns": dict(manifest.columns),
            "approximate": self.store.has_approximate,
        }

    def close(self) -> None:
        """Release files and connections."""
        self.store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, rows: Iterable[Row | str | Mapping[str, Any]]) -> Iterator[Row]:
        allowed = {field.instruction for field in self.manifest.fields.values()}
        for number, item in enumerate(rows):
            row = item if isinstance(item, Row) else row_of(item, f"rows[{number}]")
            if row.instruction and row.instruction not in allowed:
                name, field = next(iter(self.manifest.fields.items()))
                raise InputError(
                    f"{row.position} has the instruction {row.instruction!r}, and the field {name!r} of the index "
                    f"{field.instruction!r}: vectors of both are not comparable; give it a field of its own: "
                    f"instructor-embed index add {self.store.location} --field NAME -i {row.instruction!r}"
                )
            if unknown := [column for column in row.payload if column not in self.manifest.columns]:
                known = ", ".join(self.manifest.columns) or "none"
                raise InputError(
                    f"{row.position} has the column {unknown[0]!r}; the columns of the index are: {known}; leave it "
                    f"out, or build an index that has it: instructor-embed index build FILE -o NEW --keep {unknown[0]}"
                )
            yield row

    def _batch(self, rows: list[Row]) -> tuple[Batch, int]:
        """Return those rows that are new or changed, encoded, and how many are new."""
        columns = list(self.manifest.columns)
        digests = {row.id: digest_of(row, columns) for row in rows}
        stored = self.store.digests(list(digests))
        changed = [row for row in rows if stored.get(row.id) != digests[row.id]]
        texts = [row.text for row in changed]
        vectors = {
            name: self.model.vectors(self.manifest, field.instruction, texts)
            if texts
            else np.empty((0, self.manifest.dimension), np.float32)
            for name, field in self.manifest.fields.items()
        }
        batch = Batch(
            ids=[row.id for row in changed],
            texts=texts,
            digests=np.array([digests[row.id] for row in changed], np.int64),
            payload={name: [row.payload.get(name) for row in changed] for name in columns},
            vectors=vectors,
        )
        return batch, sum(row.id not in stored for row in changed)

    def _field(self, name: str, instruction: str | Instruction | None) -> Field:
        choose("--field", name, self.manifest.fields)
        field = self.manifest.fields[name]
        if instruction is not None and str(instruction) != field.query_instruction:
            raise InputError(
                f"queries of the field {name!r} are encoded with {field.query_instruction!r}, not with "
                f"{str(instruction)!r}; leave the instruction out, or make a field for it: "
                f"instructor-embed index add {self.store.location} --field NAME -i INSTRUCTION -q {str(instruction)!r}"
            )
        if not field.complete:
            raise InputError(
                f"the field {name!r} has not a vector for every row yet; give the command that adds it again: "
                f"instructor-embed index add {self.store.location} --field {name} -i {field.instruction!r} "
                f"-q {field.query_instruction!r}"
            )
        return field

    def _condition(self, where: str | None) -> filters.Condition | None:
        return None if where is None else filters.parse(where, {**self.manifest.columns, "id": "text"})

    def _approximate(self, mode: str) -> bool:
        if mode == "approximate" and not self.store.has_approximate:
            raise InputError(
                f"{self.store.location} has no approximate index; make it: "
                f"instructor-embed index optimize {self.store.location} --approximate"
            )
        if mode == "approximate":
            return True
        return mode in ("auto", "hybrid") and len(self) >= LARGE and self.store.has_approximate


def _check_names(field: str, columns: Mapping[str, str]) -> None:
    """Raise InputError if the name of a field cannot be that of a column, or is taken."""
    if not field.isidentifier():
        raise InputError(f"--field {field!r}: use letters, digits and _")
    if field in columns or field in OWN_COLUMNS:
        raise InputError(f"--field {field!r} is the name of a column; choose another")
