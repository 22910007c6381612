"""What a model's few-bit weights cost in accuracy and save in time: `python -m tests.harness.weights MODEL.gguf OUT.json`.

KL(float32 || weights) of the next token over 512 tokens of docs/design.md, in nats, and CPU ms of a pass over these tokens, one
thread, the least of several: by full weights in float32 and in the dtype that is native here, and in float32 by 16-bit integers
where the processor multiplies those faster. Then what answers are made by: KL, and CPU ms of a step of so many sequences, by
full weights, by torch's products of few bits, and in blocks, as a lasting model answers.
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
    integers = load_decoder(LoadOptions(model, dtype="float32", device="cpu"), lambda *_: None, lasting=True)
    few = load_decoder(LoadOptions(model, device="cpu"), lambda *_: None)
    blocks = load_decoder(LoadOptions(model, device="cpu"), lambda *_: None, lasting=True)
    ids = load_tokenizer(str(exact.folder)).encode_text([TEXT.read_text(encoding="utf-8")])[0].ids[:NUM_TOKENS]
    tokens = torch.tensor(ids.tolist())
    wanted, rows = likelihoods(exact, tokens), list[dict[str, Any]]()

    def tell(name: str, decoder: Decoder, found: Tensor, **more: Any) -> None:
        row = {"weights": name, "dtype": decoder.dtype_name, "two_bytes": decoder.two_bytes, **more}
        row["kl"] = float(kl_div(found, wanted, reduction="batchmean", log_target=True))
        row["other_best_token"] = float((found.argmax(-1) != wanted.argmax(-1)).double().mean())
        rows.append(row)
        print(row)

    for name, decoder in {"full, float32": exact, "16-bit integers": integers, "full": full}.items():
        tell(name, decoder, likelihoods(decoder, tokens, few=False), pass_cpu_ms=pass_ms(decoder, tokens))
    for name, decoder in {"full": full, "torch": few, "blocks": blocks}.items():
        more = {"bits": decoder.few_bits, "in_blocks": decoder.in_blocks}
        steps = {count: step_ms(decoder, count) for count in SEQUENCES}
        tell(name, decoder, likelihoods(decoder, tokens), **more, step_cpu_ms=steps)
    about = {
        "date": f"{date.today()}",
        "processor": processor(),
        "threads": 1,
        "model": Path(model).name,
        "dtype": full.dtype_name,
    }
    out.write_text(json.dumps({**about, "versions": versions(), "tokens": NUM_TOKENS, "rows": rows}, indent=1) + "\n")


def likelihoods(decoder: Decoder, ids: Tensor, *, few: bool = True) -> Tensor:
    """Log-probabilities of each next token, [n, vocab] float64, by the weights that answers are made by, or by those that
    documents are read by."""
    run = GatheredRun(decoder.new_state(), decoder.rotator, [NOTHING])
    decoder.runs_by = decoder.few_bits if few else ()
    found = decoder.forward_rows(ids, run, list(range(ids.shape[0])))
    decoder.runs_by = ()
    assert found is not None
    return found.double().log_softmax(dim=-1)


def pass_ms(decoder: Decoder, ids: Tensor) -> float:
    """Of all these tokens at once, without logits."""
    taken = []
    for _ in range(STEPS):
        run = GatheredRun(decoder.new_state(), decoder.rotator, [NOTHING])
        began = time.process_time()
        decoder.forward(ids, run, logits=False)
        taken.append(1e3 * (time.process_time() - began))
    return round(min(taken), 1)


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
