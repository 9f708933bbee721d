"""Fuzz the reader of texts: any bytes give ids that decode to the text, or a CorpusError.

    python fuzz/fuzz_text.py -max_total_time=600

Coverage-guided (atheris, libFuzzer). The first bytes of an input choose encoding, normal form, unit and compression;
the rest is the file.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["charlm"]):
    from charlm.config import DECODING_ERRORS, NORMALIZATIONS, UNITS, TextConfig, TrainConfig
    from charlm.errors import CorpusError
    from charlm.text.corpus import Corpus
    from charlm.text.holdout import HoldOut
    from charlm.text.reading import read_text
    from charlm.text.tuning import TextTuning
    from charlm.text.windows import batches_over

ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "utf-7", "shift_jis",
             "gb18030", "euc_kr", "iso2022_jp", "big5", "hex", "idna", "punycode", "unicode_escape",
             "no such")  # fmt: skip
SUFFIXES = (".txt", ".gz", ".bz2", ".xz")
PACKERS = {".txt": bytes, ".gz": lambda data: gzip.compress(data, 1), ".bz2": bz2.compress, ".xz": lzma.compress}
FOLDER = TemporaryDirectory(prefix="charlm-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def test_one_input(content: bytes) -> None:
    """Read the bytes as a text and take two windows of it."""
    choice = atheris.FuzzedDataProvider(content[:12])
    config = TextConfig(
        unit=choice.PickValueInList(list(UNITS)),
        lines=choice.ConsumeBool(),
        min_count=choice.PickValueInList([None, 1, 2]),
        encoding=choice.PickValueInList(list(ENCODINGS)),
        errors=choice.PickValueInList(list(DECODING_ERRORS)),
        normalize=choice.PickValueInList(list(NORMALIZATIONS)),
    )
    suffix = choice.PickValueInList(list(SUFFIXES))
    is_packed = choice.ConsumeBool()
    valid = choice.PickValueInList([0.0, 0.1, 0.9])
    tuning = TextTuning(bytes_per_read=choice.PickValueInList([1, 3, 7, 1 << 20]))
    data = content[12:]
    path = Path(FOLDER.name) / f"text{suffix}"
    path.write_bytes(PACKERS[suffix](data) if is_packed else data)
    try:
        text = read_text(path, config)
        corpus = Corpus.read([path], config, hold_out=HoldOut(valid), tuning=tuning)
    except CorpusError as error:
        if not str(error).startswith(str(path)) and not str(error).startswith(config.encoding):
            raise AssertionError(f"the message names no file: {error}") from error
        return
    check(corpus, text, config)


def check(corpus: Corpus, text: str, config: TextConfig) -> None:
    """Raise AssertionError unless the corpus holds the text."""
    if "\r" in text and config.normalize == "none":
        raise AssertionError("a carriage return was not normalised")
    if config.min_count == 1 and not config.lines and not len(corpus.valid_ids):
        decoded = corpus.vocabulary.decode(corpus.train_ids.tolist())
        if decoded != text:
            raise AssertionError(f"{decoded!r} is not {text!r}")
    if len(corpus.train_ids) < 2:
        return
    batches = batches_over(corpus, TrainConfig(batch=3, bptt=5))
    for _ in range(2):
        batch = batches.next()
        if batch.inputs.shape != batch.targets.shape or batch.targets.max() >= len(corpus.vocabulary):
            raise AssertionError(f"invalid window: {batch}")


def write_seeds(folder: Path) -> None:
    """Write texts in several encodings, plain and compressed."""
    folder.mkdir(exist_ok=True)
    text = "\ufeffa\r\nb\rc\u0301 \U0001f98a e\u0301\u212b\u1100\u1161\u11a8\n\n"
    text += 'she said "it\'s 1599."\n\x00\x1b\x85\u2028end'
    for number, encoding in enumerate(ENCODINGS[:12]):
        data = text.encode(encoding, "ignore")
        (folder / f"plain{number}").write_bytes(bytes(range(number, number + 12)) + data)
        (folder / f"packed{number}").write_bytes(bytes(12) + gzip.compress(data))
    stream = io.BytesIO()
    with lzma.open(stream, "wb") as file:
        file.write(text.encode())
    (folder / "xz").write_bytes(bytes(range(240, 252)) + stream.getvalue())


def main() -> None:
    """Fuzz with the arguments of libFuzzer."""
    seeds = Path(FOLDER.name) / "seeds"
    write_seeds(seeds)
    # no limit on memory: atheris keeps about 15 kB of each run
    arguments = [sys.argv[0], "-max_len=3000", "-rss_limit_mb=0", "-timeout=20", *sys.argv[1:], str(seeds)]
    atheris.Setup(arguments, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
