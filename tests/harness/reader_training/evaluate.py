"""Held-out evaluation of a reader inside its window: exact match of greedy answers, by kind of question.

A greedy answer equals the wanted one exactly when every wanted token, `<eos>` among them, is the most likely one after those
before it; so one forward pass tells what free generation would write.
"""

import torch
from transformers import PreTrainedModel

from tests.harness.reader_training.corpus import Sequence, batch


@torch.inference_mode()
def exact_match(model: PreTrainedModel, exam: list[Sequence], refusal: int, rows: int = 16) -> dict[str, float]:
    """Share of the answers that greedy generation gets right in full, by kind too; `refused`: of the questions that the text
    does answer, the share for which the reader begins to say that it does not (refusal: that sentence's first token)."""
    was_training = model.training
    model.eval()
    kinds: dict[str, list[bool]] = {}
    refused: list[bool] = []
    for start in range(0, len(exam), rows):
        group = exam[start : start + rows]
        ids = torch.from_numpy(batch(group)[0]).to(model.device)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            guess = model(input_ids=ids, use_cache=False).logits.argmax(-1)  # [rows, length]
        for row, item in enumerate(group):
            for turn in item.turns:
                same = guess[row, turn.answered - 1 : turn.end - 1] == ids[row, turn.answered : turn.end]
                kinds.setdefault(turn.kind, []).append(bool(same.all()))
                if turn.kind != "absent":
                    refused.append(bool(guess[row, turn.answered - 1] == refusal))
    model.train(was_training)
    every = [right for found in kinds.values() for right in found]
    means = {f"{kind}s": sum(found) / len(found) for kind, found in sorted(kinds.items())}
    return {"exact_match": _mean(every), **means, "refused": _mean(refused), "questions": len(every)}


def _mean(found: list[bool]) -> float:
    return sum(found) / max(1, len(found))
