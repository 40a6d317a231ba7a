"""A reader of torch's pickles that knows tensors alone: nothing is imported, called or constructed.

A pickle is a program for a stack machine. This is a machine with the 30 instructions that a ``state_dict`` needs, where
the names of torch's rebuild functions are labels, and what they would build becomes a `StoredTensor`. Every other
instruction or name ends the reading, and so do programs longer than any model has.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any

_MOST_STEPS = 300_000  # a T5 of 24 layers has about 40,000
_MOST_ITEMS = 1_000_000
_DTYPES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_REBUILD = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor", "torch._utils _rebuild_parameter")
_CONTAINER = "collections OrderedDict"


class NotTensorsError(Exception):
    """The pickle names something other than tensors; `args` holds its name."""


class CorruptError(Exception):
    """The pickle is truncated, or does what no ``state_dict`` does."""


@dataclass(frozen=True)
class Storage:
    """A block of elements: what its file or section is called, its dtype, its number of elements."""

    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as strides over a storage, all counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A name that a pickle refers to."""

    text: str


class _Mark:
    """Where a group of items on the stack starts."""


def load(file: Any) -> Any:
    """Return the value of one pickle from a file-like object: dicts, lists, tuples, scalars and `StoredTensor`.

    Raises
    ------
    NotTensorsError
        It would construct or call anything else.
    CorruptError
        It is not a complete pickle of that kind.
    """
    machine = _Machine()
    try:
        for steps, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if steps > _MOST_STEPS:
                raise CorruptError("it is longer than that of any model")
            if operation.name == "STOP":
                return machine.stack.pop()
            step = getattr(machine, f"on_{operation.name.lower()}", None)
            if step is None:
                raise NotTensorsError(f"the instruction {operation.name}")
            step(argument)
    except (IndexError, KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CorruptError(str(error)[:80]) from None
    raise CorruptError("it has no end")


class _Machine:
    """The stack, the memo, and one method per instruction."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def _marked(self) -> list[Any]:
        start = len(self.stack) - 1
        while not isinstance(self.stack[start], _Mark):
            start -= 1
            if start < 0:
                raise CorruptError("a group has no start")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def on_proto(self, version: int) -> None:
        if not 0 <= version <= 5:
            raise CorruptError(f"protocol {version}")

    def on_frame(self, _: int) -> None:
        pass

    def on_mark(self, _: None) -> None:
        self._push(_Mark())

    def on_none(self, _: None) -> None:
        self._push(None)

    def on_newtrue(self, _: None) -> None:
        self._push(True)

    def on_newfalse(self, _: None) -> None:
        self._push(False)

    def on_empty_dict(self, _: None) -> None:
        self._push({})

    def on_empty_list(self, _: None) -> None:
        self._push([])

    def on_empty_tuple(self, _: None) -> None:
        self._push(())

    on_binint = on_binint1 = on_binint2 = on_binfloat = on_binunicode = on_short_binunicode = _push
    on_short_binstring = on_binstring = on_int = on_long = on_float = on_unicode = on_string = _push

    def on_long1(self, value: int) -> None:
        self._push(value)

    def on_tuple(self, _: None) -> None:
        self._push(tuple(self._marked()))

    def on_tuple1(self, _: None) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def on_tuple2(self, _: None) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def on_tuple3(self, _: None) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def on_binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    on_long_binput = on_put = on_binput

    def on_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def on_binget(self, index: int) -> None:
        self._push(self.memo[index])

    on_long_binget = on_get = on_binget

    def on_append(self, _: None) -> None:
        value = self.stack.pop()
        self._target(list).append(value)

    def on_appends(self, _: None) -> None:
        items = self._marked()
        self._target(list).extend(items)

    def on_setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._target(dict)[self._key(key)] = value

    def on_setitems(self, _: None) -> None:
        items = self._marked()
        target = self._target(dict)
        if len(items) % 2 or len(target) + len(items) > _MOST_ITEMS:
            raise CorruptError("a dict has a key without a value")
        target.update((self._key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))

    def _target(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise CorruptError(f"items without a {kind.__name__}")
        return self.stack[-1]

    def _key(self, key: Any) -> Any:
        if not isinstance(key, (str, int)):
            raise NotTensorsError(f"a key of type {type(key).__name__}")
        return key

    def on_global(self, name: str) -> None:
        self._push(_Name(name))

    def on_stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push(_Name(f"{module} {name}"))

    def on_build(self, _: None) -> None:
        """Set the state of an object; torch writes ``_metadata`` of the dict so, which is not needed."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise NotTensorsError("an object with a state")

    def on_binpersid(self, _: None) -> None:
        """Push a storage: ('storage', class, key, location, size) and, in old files, a view of another."""
        kind, name, key, _location, size, *view = self.stack.pop()
        module, _, storage = name.text.partition(" ")
        if kind != "storage" or module != "torch" or storage not in _DTYPES or view not in ([], [None]):
            raise NotTensorsError(f"a storage {name.text}")
        self._push(Storage(str(key), _DTYPES[storage], _size(size)))

    def on_reduce(self, _: None) -> None:
        """Push what a function returns, for the few functions that a ``state_dict`` names."""
        arguments, function = self.stack.pop(), self.stack.pop()
        name = function.text if isinstance(function, _Name) else type(function).__name__
        if name == _CONTAINER and len(arguments) <= 1:
            self._push(dict(arguments[0]) if arguments else {})
        elif name == _REBUILD[2]:
            if not isinstance(arguments[0], StoredTensor):
                raise NotTensorsError(name)
            self._push(arguments[0])
        elif name in _REBUILD:
            storage, offset, shape, strides = arguments[:4]
            if not isinstance(storage, Storage):
                raise NotTensorsError(name)
            sizes = tuple(map(_size, shape)), tuple(map(_size, strides))
            self._push(StoredTensor(storage, _size(offset), *sizes))
        else:
            raise NotTensorsError(name)


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise CorruptError(f"a size of {value!r:.40}")
    return value
