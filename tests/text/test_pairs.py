"""Pairs: rows are read or refused with their line, sources share a part, and windows hold each pair once an epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import TextConfig, TrainConfig
from charlm.errors import CorpusError, EmptyCorpusError, EncodingError
from charlm.tasks import find_task
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.pairs import PairBatches, PairTable, join_target, lay_out_pairs, read_pairs, split_target
from charlm.text.tuning import TextTuning
from charlm.text.windows import batches_over

ROWS = "ab\tx\nabc\tyx\nab\tyy\n\nc\txyx\nabcabc\tz\n"


def read(folder: Path, content: str, valid: float = 0, **settings: str) -> Corpus:
    path = folder / "pairs.tsv"
    path.write_text(content, encoding="utf-8")
    task = find_task("pairs")
    config = task.text(TextConfig(task="pairs", min_count=1, **settings))
    assert config.lines
    return Corpus.read([path], config, hold_out=HoldOut(valid), scheme=task.scheme(config, None))


def decoded(corpus: Corpus, inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> list[tuple[str, str]]:
    """Return the source and the target of each stream of a window; END is "."."""
    found = []
    for b in range(inputs.shape[1]):
        labels = [corpus.labels[label] or "." for label in targets[weights[:, b] > 0, b]]
        source = corpus.vocabulary.decode(inputs[::-1, b])
        if labels:
            found.append((source, "".join(labels)))
            length = len(source)
            assert (inputs[: len(inputs) - length, b] == 0).all()
            assert inputs[0, b] == 0
    return found


class TestReading:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("a\tx\nb\n", "line 2 has no tab; expected: source TAB target"),
            ("a\tx\ty\n", "line 1 has 3 columns; expected: source TAB target"),
            ("a\tx\n\n\tx\n", "line 3 has an empty source"),
            ("a\tx\nb\t \n", "line 2 has an empty target"),
            (f"a\tx\n{'b' * 1_000_000}\tx\n", "line 2 has a source of length 1,000,000; a pair has at most 500"),
            (f"a\t{'x' * 501}\n", "line 1 has a target of length 501; a pair has at most 500"),
        ],
    )
    def test_unusable_line_is_refused_with_its_number(self, tmp_path: Path, content: str, message: str) -> None:
        with pytest.raises(CorpusError, match=f"pairs.tsv: {message}"):
            read(tmp_path, content)

    def test_mixed_encodings_are_refused_with_the_byte(self, tmp_path: Path) -> None:
        path = tmp_path / "pairs.tsv"
        path.write_bytes("é\tx\n".encode() + "é\tx\n".encode("latin-1"))
        with pytest.raises(EncodingError, match=r"pairs\.tsv: byte 5 \(0xe9\) is not valid utf-8"):
            list(read_pairs(path, TextConfig()))

    def test_targets_are_split_into_their_units(self, tmp_path: Path) -> None:
        (tmp_path / "p.tsv").write_text("ab\t HH  AH0 L\n")
        (pair,) = read_pairs(tmp_path / "p.tsv", TextConfig(target_unit="symbol"))
        assert (pair.source, list(pair.units), pair.line) == ("ab", ["HH", "AH0", "L"], 1)
        assert join_target(pair.units, "symbol") == "HH AH0 L"
        assert join_target(split_target("a b", "char"), "char") == "a b"


class TestCorpus:
    def test_vocabulary_is_of_sources_and_labels_are_of_targets(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, ROWS)
        assert corpus.vocabulary.tokens == ("<EOS>", "<UNK>", "a", "b", "c")
        assert corpus.labels == ("", "x", "y", "z")
        assert corpus.unknown_rate == 0

    def test_rare_character_of_a_source_is_unknown_and_labels_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "pairs.tsv"
        path.write_text("ab\tx\nac\txy\nbq\tx\n")
        task = find_task("pairs")
        config = task.text(TextConfig(task="pairs", min_count=2))
        corpus = Corpus.read([path], config, hold_out=HoldOut(0), scheme=task.scheme(config, None))
        assert corpus.vocabulary.tokens[2:] == ("a", "b")
        assert corpus.labels == ("", "x", "y")
        assert corpus.unknown_rate == pytest.approx(2 / 6)
        with pytest.raises(EmptyCorpusError, match="100% of the training text would become UNK"):
            Corpus.read(
                [path], TextConfig(min_count=9, lines=True), hold_out=HoldOut(0), scheme=task.scheme(config, None)
            )

    def test_all_pairs_of_a_source_are_in_one_part(self, tmp_path: Path) -> None:
        rows = [f"{a}{b}\t{'xy'[k]}{a}" for a in "abcdefgh" for b in "stuvw" for k in range(2)]
        corpus = read(tmp_path, "\n".join(rows), 0.3)
        assert corpus.symbols is not None
        sources = []
        for ids in (corpus.train_ids, corpus.valid_ids):
            inputs, targets, weights = lay_out_pairs(ids, corpus.symbols, len(ids))
            pairs = decoded(corpus, inputs, targets, weights)
            sources.append({source for source, _ in pairs})
            assert all(pair[1] in ("x" + pair[0][0] + ".", "y" + pair[0][0] + ".") for pair in pairs)
            assert len(pairs) == 2 * len(sources[-1])
        assert not sources[0] & sources[1]
        assert min(map(len, sources)) > 3


class TestWindows:
    @pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])
    def test_every_epoch_has_each_pair_once(self, tmp_path: Path, batch: int) -> None:
        corpus = read(tmp_path, ROWS)
        batches = batches_over(corpus, TrainConfig(batch=batch, bptt=3))
        assert isinstance(batches, PairBatches)
        batches.unk_rate = 0.0
        assert batches.steps == 7
        assert batches.size_message is None
        for _ in range(3):
            found: Counter[tuple[str, str]] = Counter()
            for _ in range(batches.windows_per_epoch):
                inputs, targets, weights = batches.next()
                assert weights is not None
                assert inputs.shape == targets.shape == weights.shape == (7, batches.streams)
                found.update(decoded(corpus, inputs, targets, weights))
            assert found == Counter([("ab", "x."), ("abc", "yx."), ("ab", "yy."), ("c", "xyx."), ("abcabc", "z.")])

    def test_windows_continue_where_the_state_says(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, ROWS * 3)
        one, two = (batches_over(corpus, TrainConfig(batch=2, bptt=3, seed=4)) for _ in range(2))
        one.unk_rate = two.unk_rate = 0.3
        for _ in range(5):
            one.next()
        two.load_state_dict(one.state_dict())
        for _ in range(9):
            for a, b in zip(one.next(), two.next(), strict=True):
                np.testing.assert_array_equal(a, b)

    def test_windows_have_sources_of_similar_lengths(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, "".join(f"{'ab'[k % 2] * (1 + k % 10)}\tx\n" for k in range(100)))
        batches = batches_over(corpus, TrainConfig(batch=10))
        lengths = [np.count_nonzero(batches.next().inputs, axis=0) for _ in range(batches.windows_per_epoch)]
        assert all(len(set(one)) == 1 for one in lengths)
        assert [one[0] for one in lengths] != sorted(one[0] for one in lengths)

    def test_unusual_targets_are_not_gathered_in_windows(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, "".join(f"{'ab'[k % 2]}ab\t{'x' * (1 + 9 * (k % 5 == 0))}\n" for k in range(200)))
        batches = batches_over(corpus, TrainConfig(batch=20))
        for _ in range(batches.windows_per_epoch):
            weights = batches.next().weights
            assert weights is not None
            assert 0 < np.count_nonzero(weights.sum(axis=0) > 2) < 12

    def test_pairs_are_sorted_within_pools_of_windows(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, "".join(f"{'ab'[k % 2] * (1 + k % 10)}\tx\n" for k in range(400)))
        batches = PairBatches(corpus, TrainConfig(batch=10), TextTuning(windows_per_pool=1))
        lengths = [np.count_nonzero(batches.next().inputs, axis=0) for _ in range(batches.windows_per_epoch)]
        assert all(len(set(one)) > 2 for one in lengths)

    def test_unknown_characters_are_learned_and_labels_stay(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, "abcab\txyxy\n" * 50)
        batches = batches_over(corpus, TrainConfig(batch=50))
        batches.unk_rate = 0.5
        inputs, targets, weights = batches.next()
        unknown = np.count_nonzero(inputs == 1)
        assert 0.3 < unknown / 250 < 0.7
        assert weights is not None
        assert weights.sum() == 250
        assert (targets[:5] == targets[:5, :1]).all()

    def test_label_that_is_not_known_does_not_count_and_is_no_end(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, "ab\txqx\nab\tx\n")
        assert corpus.symbols is not None
        corpus.symbols.labels[corpus.symbols.labels == corpus.labels.index("q")] = -1
        _, targets, weights = lay_out_pairs(corpus.train_ids, corpus.symbols, 99)
        assert weights[:, 1].tolist() == [1, 0, 1, 1]
        assert targets[1, 1] > 0

    def test_evaluation_reads_the_pairs_that_start_within_the_limit(self, tmp_path: Path) -> None:
        corpus = read(tmp_path, ROWS)
        assert corpus.symbols is not None
        pairs = PairTable.find(corpus.train_ids, corpus.symbols)
        assert pairs.sources.tolist() == [2, 3, 2, 1, 6]
        assert pairs.targets.tolist() == [2, 3, 3, 4, 2]
        for limit, count in ((1, 1), (5, 1), (6, 2), (1000, 5)):
            assert lay_out_pairs(corpus.train_ids, corpus.symbols, limit)[0].shape[1] == count
        assert lay_out_pairs(corpus.valid_ids, corpus.symbols, 9)[0].shape[1] == 0


TEXTS = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    pairs=st.lists(
        st.tuples(TEXTS, TEXTS).filter(lambda pair: bool(pair[0].strip() and pair[1].strip())), min_size=2, max_size=9
    )
)
@settings(max_examples=40, deadline=None)
def test_windows_hold_the_pairs_of_the_file(
    pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = "".join(f"{source}\t{target}\n" for source, target in pairs)
    corpus = read(tmp_path_factory.mktemp("p"), rows)
    assert corpus.symbols is not None
    inputs, targets, weights = lay_out_pairs(corpus.train_ids, corpus.symbols, len(rows) * 3)
    found = [(source, target[:-1]) for source, target in decoded(corpus, inputs, targets, weights)]
    assert Counter(found) == Counter(pairs)


def test_pairs_are_numbered_part_by_part(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(ROWS)
    scheme = find_task("pairs").scheme(TextConfig(), None)
    assert scheme is not None
    parts = [list(scheme.read(path, TextConfig(), TextTuning(pairs_per_part=size))) for size in (2, 1024)]
    assert [len(part) for part in parts] == [3, 1]
    assert [symbol for part in parts[0] for symbol in part] == list(parts[1][0])
