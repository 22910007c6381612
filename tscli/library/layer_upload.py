"""A library's pages on their way to a GPU: layer by layer, in the order that a step reads them, while the rest goes on.

A step waits for a layer's pages only where it reaches that layer before they have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import accumulate, cycle
from threading import Event, Thread

import torch
from torch import Tensor

from tscli.library.layout import DevicePages
from tscli.model.pages import Pages

BUFFERS = 2  # one is filled from the disk while the other is copied to the device


class LayerUpload:
    """Copies segments' pages into one run of pages on a device, in a thread of its own; to be called with a layer before that
    is read."""

    def __init__(self, segments: Sequence[Pages], device: torch.device) -> None:
        layers, _, kv_heads, page_size, head_dim = segments[0].key.shape
        num_tokens = sum(segment.num_tokens for segment in segments)
        shape = (layers, -(-num_tokens // page_size), kv_heads, page_size, head_dim)
        key, value = (torch.zeros(shape, dtype=segments[0].key.dtype, device=device) for _ in range(2))
        self.pages = DevicePages(key, value, num_tokens)
        self._segments = segments
        self._here = [Event() for _ in range(layers)]
        self._error: BaseException | None = None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._copied: dict[int, torch.cuda.Event] = {}
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the pages are cleared first
        self._thread = Thread(target=self._copy_all, daemon=True)
        self._thread.start()

    def __call__(self, layer: int) -> None:
        """Return once what is launched from here on finds the layer's pages; raises what kept them from coming."""
        self._here[layer].wait()
        if self._error is not None:
            raise self._error
        if (copied := self._copied.get(layer)) is not None:
            torch.cuda.current_stream(self.pages.key.device).wait_event(copied)

    def _copy_all(self) -> None:
        try:
            with torch.inference_mode(), torch.cuda.stream(self._stream) if self._stream else nullcontext():
                buffers = cycle([_Buffer(self._segments, self._stream) for _ in range(BUFFERS)])
                starts = list(accumulate((segment.num_tokens for segment in self._segments), initial=0))
                for layer, here in enumerate(self._here):
                    for segment, start in zip(self._segments, starts, strict=False):
                        for whole, part in ((self.pages.key, segment.key), (self.pages.value, segment.value)):
                            _lay(whole[layer], next(buffers).take(part[layer], whole.device), start, segment.num_tokens)
                    if self._stream is not None:
                        self._copied[layer] = self._stream.record_event()
                    here.set()
                if self._stream is not None:
                    self._stream.synchronize()  # nothing that is still written to is let go
        except BaseException as error:  # the thread that waits for the pages is to see it
            self._error = error
            for here in self._here:
                here.set()


class _Buffer:
    """Memory from which a GPU copies by itself; ordinary memory where there is none."""

    def __init__(self, segments: Sequence[Pages], stream: torch.cuda.Stream | None) -> None:
        size = max(segment.key[0].numel() for segment in segments)
        self._room = torch.empty(size, dtype=segments[0].key.dtype, pin_memory=stream is not None)
        self._stream = stream
        self._free: torch.cuda.Event | None = None

    def take(self, pages: Tensor, device: torch.device) -> Tensor:
        """The mapped pages on the device, or on their way there."""
        if self._free is not None:
            self._free.synchronize()
        held = self._room[: pages.numel()].view(pages.shape).copy_(pages)
        there = held.to(device, non_blocking=True)
        if self._stream is not None:
            self._free = self._stream.record_event()
        return there


def _lay(whole: Tensor, pages: Tensor, start: int, num_tokens: int) -> None:
    """Put the tokens of pages [pages, kv_heads, page_size, head_dim] into the slots of `whole` from `start` on."""
    page_size = whole.shape[2]
    slots = torch.arange(start, start + num_tokens, device=whole.device)
    rows = pages.transpose(0, 1).flatten(1, 2)[:, :num_tokens]  # [kv_heads, n, head_dim]
    whole[slots // page_size, :, slots % page_size] = rows.transpose(0, 1)
