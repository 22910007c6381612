"""Held-out evaluation of a reader inside its window: exact match of greedy answers.

A greedy answer equals the wanted one exactly when every wanted token, `<eos>` among them, is the most likely one after those
before it; so one forward pass tells what free generation would write.
"""

import torch
from transformers import PreTrainedModel

from tscli.reader.corpus import Sequence, batch


@torch.inference_mode()
def exact_match(model: PreTrainedModel, exam: list[Sequence], rows: int = 16) -> dict[str, float]:
    """Share of the answers that greedy generation gets right in full, and of their first tokens."""
    was_training = model.training
    model.eval()
    right = first = total = 0
    for start in range(0, len(exam), rows):
        group = exam[start : start + rows]
        ids = torch.from_numpy(batch(group)[0]).to(model.device)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            guess = model(input_ids=ids, use_cache=False).logits.argmax(-1)  # [rows, length]
        for row, item in enumerate(group):
            for begin, end in ((turn.answered, turn.end) for turn in item.turns):
                same = guess[row, begin - 1 : end - 1] == ids[row, begin:end]
                right += int(same.all())
                first += int(same[0])
                total += 1
    model.train(was_training)
    return {"exact_match": right / max(1, total), "first_token": first / max(1, total), "questions": total}
