"""SIGINT and SIGTERM end a training after the current step, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt(TrainerCallback):
    """Saves and stops at the first signal; at a second one it stops at once.

    Attributes
    ----------
    seen : bool
        Whether the training was ended by a signal.
    """

    def __init__(self) -> None:
        self.seen = False
        self._before: dict[signal.Signals, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Install the handlers; only the main thread may."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save and stop if a signal has come, on all processes at the same step."""
        if self._anywhere(args):
            self.seen = True
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Restore the handlers."""
        self.restore()

    def restore(self) -> None:
        """Restore the handlers that were installed before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, _frame: Any) -> None:
        if self.seen:
            self.restore()
            os.kill(os.getpid(), number)  # the handlers of before decide how the process ends
            return
        self.seen = True

    def _anywhere(self, args: Any) -> bool:
        if args.world_size == 1:
            return self.seen
        flag = torch.tensor(float(self.seen), device=args.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item())
