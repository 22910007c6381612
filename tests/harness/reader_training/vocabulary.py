"""The reader's tokenizer: byte-level BPE (so that tiktoken can serve it), trained on the corpus. Knows no model."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.harness.reader_training.corpus import Sources

SPECIAL = ("<bos>", "<q>", "<a>", "<eos>")  # in the order of their ids, which `corpus` knows
SIDE_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


def train_tokenizer(sources: Sources, size: int, like: Path, folder: Path) -> Path:
    """Write a tokenizer of `size` tokens into the folder, everything else that belongs to it as in `like`; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SIDE_FILES[1:]:
        shutil.copyfile(like / name, folder / name)
    if not (folder / SIDE_FILES[0]).exists():  # a run that is taken up again must keep its tokens
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=[*SPECIAL], initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(sources.prose.files, trainer)
        tokenizer.save(str(folder / SIDE_FILES[0]))
    return folder
