"""What a model's few-bit weights cost in accuracy and save in time: `python -m tests.harness.weights MODEL.gguf OUT.json`.

KL(float32 || weights) of the next token over 512 tokens of docs/design.md, in nats, and CPU ms of a step of so many sequences,
the least of several, one thread: by the full weights, by torch's products, and in blocks, as a lasting model answers.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from tscli.ingest.doctor import processor
from tscli.library.catalogue import versions
from tscli.model.decoder import Decoder
from tscli.model.gathered import GatheredRun, Rows
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.model.step import Pass
from tscli.tokens import load_tokenizer

TEXT, NUM_TOKENS = Path("docs/design.md"), 512
SEQUENCES, STEPS = (1, 2, 3, 4, 8, 16), 8
NOTHING = Rows.behind_each_other(torch.arange(0))


def main(model: str, out: Path) -> None:
    torch.set_num_threads(1)
    full, exact = (load_decoder(LoadOptions(model, dtype=dtype, device="cpu", weights="full")) for dtype in ("auto", "float32"))
    few = load_decoder(LoadOptions(model, device="cpu"), lambda *_: None)
    blocks = load_decoder(LoadOptions(model, device="cpu"), lambda *_: None, lasting=True)
    ids = load_tokenizer(str(exact.folder)).encode_text([TEXT.read_text(encoding="utf-8")])[0].ids[:NUM_TOKENS]
    wanted = likelihoods(exact, torch.tensor(ids.tolist()))
    rows = []
    for name, decoder in {"full": full, "torch": few, "blocks": blocks}.items():
        found = likelihoods(decoder, torch.tensor(ids.tolist()))
        row: dict[str, Any] = {"weights": name, "bits": decoder.few_bits, "in_blocks": decoder.in_blocks}
        row["kl"] = float(kl_div(found, wanted, reduction="batchmean", log_target=True))
        row["other_best_token"] = float((found.argmax(-1) != wanted.argmax(-1)).double().mean())
        row["step_cpu_ms"] = {count: step_ms(decoder, count) for count in SEQUENCES}
        rows.append(row)
        print(row)
    about = {
        "date": f"{date.today()}",
        "processor": processor(),
        "threads": 1,
        "model": Path(model).name,
        "dtype": full.dtype_name,
    }
    out.write_text(json.dumps({**about, "versions": versions(), "tokens": NUM_TOKENS, "rows": rows}, indent=1) + "\n")


def likelihoods(decoder: Decoder, ids: Tensor) -> Tensor:
    """Log-probabilities of each next token, [n, vocab] float64, by the weights that answers are made by."""
    run = GatheredRun(decoder.new_state(), decoder.rotator, [NOTHING])
    decoder.runs_by = decoder.few_bits
    found = decoder.forward_rows(ids, run, list(range(ids.shape[0])))
    decoder.runs_by = ()
    assert found is not None
    return found.double().log_softmax(dim=-1)


def step_ms(decoder: Decoder, count: int) -> float:
    """Of one token of each of so many sequences."""
    run = GatheredRun(decoder.new_state(), decoder.rotator, [NOTHING] * count, keeps=True)
    taken = []
    for number in range(STEPS):
        began = time.process_time()
        decoder.forward_batch([Pass(torch.full((count,), 5 + number), run, list(range(count)))])
        taken.append(1e3 * (time.process_time() - began))
    return round(min(taken), 1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
