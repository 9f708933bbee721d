"""Each kind of error in a header, or in the JSON inside it, is refused with its reason."""

from __future__ import annotations

import pytest
from handmade import put, refusal

WRONG_CONTENT = {
    "no version": (lambda c: c.pop("format_version"), "format_version is None"),
    "version 0": (put("format_version", 0), "format_version is 0"),
    "version true": (put("format_version", True), "format_version is True"),
    "version text": (put("format_version", "\x1b[31m"), r"format_version is \x1b[31m"),
    "newer": (lambda c: c.update(format_version=2, charlm_version=None), "format_version is 2, written by charlm None"),
    "newer, named": (
        lambda c: c.update(format_version=9, charlm_version="3.1\n"),
        r"format_version is 9, written by charlm 3.1\n; this charlm",
    ),
    "no config": (lambda c: c.pop("config"), "its config is no JSON object"),
    "no cell": (lambda c: c["config"].pop("cell"), "cell is None; expected the name of a cell"),
    "cell unknown": (put("config", "cell", "os.system"), "os.system"),
    "cell a list": (put("config", "cell", ["lstm"]), "cell is ['lstm']; expected the name of a cell"),
    "other cell": (put("config", "cell", "gru"), "rnn.bias_hh_l0 is [12]; this network needs [9]"),
    "hidden 0": (put("config", "hidden", 0), "hidden is 0"),
    "hidden huge": (put("config", "hidden", 10**90), "hidden is 1000"),
    "hidden other": (put("config", "hidden", 60000), "this network needs [8, 60000]"),
    "hidden float": (put("config", "hidden", 3.0), "hidden is 3.0"),
    "hidden true": (put("config", "hidden", True), "hidden is True"),
    "layers other": (put("config", "layers", 3), "tensor rnn.bias_hh_l2 is missing"),
    "layers fewer": (put("config", "layers", 1), "tensor rnn.bias_hh_l1 is [12]; this network needs no such tensor"),
    "dropout 1": (put("config", "dropout", 1), "dropout is 1"),
    "unknown setting": (put("config", "__class__", 1), "not known here: __class__"),
    "text a list": (put("config", "text", []), "its text config is no JSON object"),
    "text unknown": (put("config", "text", "open", "/x"), "not known here: open"),
    "lines a text": (put("config", "text", "lines", "yes"), "lines is 'yes'"),
    "other unit": (put("config", "text", "unit", "word"), "its text config says word"),
    "encoding a path": (put("config", "text", "encoding", "../x"), "encoding ../x is not known"),
    "encoding binary": (put("config", "text", "encoding", "zlib"), "encoding zlib is not known"),
    "encoding long": (put("config", "text", "encoding", "u" * 999), "uuu... is not known"),
    "encoding null": (put("config", "text", "encoding", None), "encoding is None; expected a string"),
    "no vocabulary": (lambda c: c.pop("vocabulary"), "the vocabulary is not an object"),
    "vocabulary a list": (put("vocabulary", ["<EOS>", "<UNK>"]), "the vocabulary is not an object"),
    "tokens a text": (put("vocabulary", "tokens", "abc"), "the vocabulary has no list of tokens"),
    "token twice": (put("vocabulary", "tokens", 3, "a"), "a token occurs twice in the vocabulary"),
    "token a number": (put("vocabulary", "tokens", 3, 7), "a token is not a string"),
    "token a list": (put("vocabulary", "tokens", 3, []), "a token is not a string"),
    "one token more": (lambda c: c["vocabulary"]["tokens"].append("z"), "this network needs"),
    "one token less": (lambda c: c["vocabulary"]["tokens"].pop(), "this network needs"),
    "no tokens": (put("vocabulary", "tokens", []), "the first tokens are not <EOS> and <UNK>"),
    "eos 5": (put("vocabulary", "eos", 5), "eos is 5, not 0"),
    "eos -1": (put("vocabulary", "eos", -1), "eos is -1, not 0"),
    "eos false": (put("vocabulary", "eos", False), "eos is False, not 0"),
    "unk true": (put("vocabulary", "unk", True), "unk is True, not 1"),
    "unk is eos": (put("vocabulary", "unk", 0), "unk is 0, not 1"),
    "unk a text": (put("vocabulary", "unk", "1"), "unk is '1', not 1"),
    "unit": (put("vocabulary", "unit", "byte"), "unit is 'byte'"),
    "no training": (lambda c: c.pop("training"), "its training record"),
    "training a list": (put("training", [1]), "its training record"),
    "task a list": (put("config", "text", "task", ["restore"]), "task is ['restore']; expected a string"),
    "remove a number": (put("config", "text", "remove", 3), "remove is 3; expected a string"),
    "labels a text": (put("labels", "ab"), "its labels are not a list of strings"),
    "labels of numbers": (put("labels", [1, 2]), "its labels are not a list of strings"),
    "labels twice": (put("labels", ["a", "a"]), "a label occurs twice"),
    "labels without outputs": (put("labels", ["a", "b"]), "its network predicts 0 labels, and it has 2"),
    "outputs without labels": (put("config", "outputs", 8), "its network predicts 8 labels, and it has 0"),
    "outputs huge": (put("config", "outputs", 10**12), "outputs is 1000000000000"),
    "outputs negative": (put("config", "outputs", -1), "outputs is -1"),
}

BIAS = "head.bias"
WRONG_HEADERS = {
    "no metadata": (lambda h: h.pop("__metadata__"), "not of charlm"),
    "metadata a list": (put("__metadata__", []), "its metadata is no JSON object"),
    "metadata a number": (put("__metadata__", "n", 1), "not text"),
    "another program's": (put("__metadata__", {"format": "pt"}), "not of charlm"),
    "a state": (put("__metadata__", {"charlm_state": "{}"}), "the state of a training run"),
    "inner list": (put("__metadata__", "charlm", "[]"), "`charlm` is no JSON object"),
    "inner junk": (put("__metadata__", "charlm", "\x1b]0;x\x07"), "Expecting value"),
    "inner deep": (put("__metadata__", "charlm", '{"a":' * 200_000), "nested too deeply"),
    "inner twice": (put("__metadata__", "charlm", '{"a": 1, "\\u0061": 2}'), "a key occurs twice"),
    "inner NaN": (put("__metadata__", "charlm", '{"a": NaN}'), "NaN in its JSON is not finite"),
    "inner infinite": (put("__metadata__", "charlm", '{"a": 1e999}'), "1e999 in its JSON is not finite"),
    "inner digits": (put("__metadata__", "charlm", '{"a": ' + "9" * 5000 + "}"), "5000 digits"),
    "dtype F64": (put(BIAS, "dtype", "F64"), "its dtype is F64; expected F32"),
    "dtype unknown": (put(BIAS, "dtype", "\x9b31m"), r"its dtype is \x9b31m"),
    "dtype a list": (put(BIAS, "dtype", ["F32"]), "its dtype"),
    "no dtype": (lambda h: h[BIAS].pop("dtype"), "dtype, shape and data_offsets"),
    "more than that": (put(BIAS, "path", "/x"), "and nothing else"),
    "entry a list": (put(BIAS, [1, 2]), "its entry needs dtype, shape and data_offsets"),
    "shape a number": (put(BIAS, "shape", 7), "head.bias is 7; this network needs [8]"),
    "shape negative": (put(BIAS, "shape", [-7]), "head.bias is [-7]; this network needs [8]"),
    "shape of floats": (put(BIAS, "shape", [8.0]), "invalid JSON in header"),
    "shape of truth": (put(BIAS, "shape", [True]), "head.bias is [True]; this network needs [8]"),
    "shape long": (put(BIAS, "shape", [1] * 100_000 + [8]), "...; this network needs [8]"),
    "shape huge": (put(BIAS, "shape", [2**63, 2**63]), "this network needs [8]"),
    "shape wraps": (put(BIAS, "shape", [2**62 * 4 + 7]), "this network needs [8]"),
    "shape turned": (put(BIAS, "shape", [1, 8]), "head.bias is [1, 8]; this network needs [8]"),
    "offsets one": (put(BIAS, "data_offsets", [0]), "invalid JSON in header"),
    "offsets turned": (put(BIAS, "data_offsets", [32, 0]), "invalid offset for tensor `head.bias`"),
    "offsets negative": (put(BIAS, "data_offsets", [-32, 0]), "invalid JSON in header"),
    "offsets shifted": (put(BIAS, "data_offsets", [4, 36]), "invalid offset for tensor"),
    "offsets beyond": (put(BIAS, "data_offsets", [10**15, 10**15 + 32]), "invalid offset for tensor"),
    "control": (put("a\x1b[2J\n", {}), r"tensor a\x1b[2J\n: its entry"),
    "empty tensor more": (
        put("z", {"dtype": "F32", "shape": [0, 2**80], "data_offsets": [0, 0]}),
        "this network needs no such tensor",
    ),
}


WRONG_MEMBERS = {
    **{
        str(value): (put("members", value), f"it says {value} of its members; a mixture has 2 to 64")
        for value in (None, True, False, 0, 1, -3, 65, 10**15, 3.0, "3", [3], {})
    },
    "no members": (lambda c: c.pop("members"), "tensor 0.head.bias is [8]; this network needs no such tensor"),
    "fewer": (put("members", 2), "tensor 2.head.bias is [8]; this network needs no such tensor"),
    "more": (put("members", 4), "tensor 3.head.bias is missing; this network needs [8]"),
    "most": (put("members", 64), "tensor 10.head.bias is missing; this network needs [8]"),
    "other hidden": (put("config", "hidden", 60000), "this network needs [8, 60000]"),
}


def renamed(old, new):
    return lambda header: header.update({new: header.pop(old)})


WRONG_MEMBER_TENSORS = {
    "one missing": (lambda h: h.pop("1.head.bias"), "tensor 1.head.bias is missing; this network needs [8]"),
    "no prefix": (renamed("1.head.bias", "head.bias"), "tensor 1.head.bias is missing"),
    "prefix 01": (renamed("1.head.bias", "01.head.bias"), "tensor 01.head.bias is [8]; this network needs no such"),
    "prefix from 1": (renamed("0.head.bias", "3.head.bias"), "tensor 0.head.bias is missing"),
    "other shape": (put("2.head.bias", "shape", [7]), "tensor 2.head.bias is [7]; this network needs [8]"),
    "extra": (
        put("3.head.bias", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
        "tensor 3.head.bias is [0]; this network needs no such tensor",
    ),
}


@pytest.mark.parametrize("case", WRONG_MEMBERS)
def test_wrong_members_are_refused(case, edited_mixture, tmp_path):
    edit, reason = WRONG_MEMBERS[case]
    assert reason in refusal(edited_mixture(edit, inside=True), tmp_path)


@pytest.mark.parametrize("value", [1, 2, None])
def test_members_in_a_file_of_one_member_are_refused(value, edited, tmp_path):
    refusal(edited(put("members", value), inside=True), tmp_path)


@pytest.mark.parametrize("case", WRONG_MEMBER_TENSORS)
def test_wrong_tensors_of_a_member_are_refused(case, edited_mixture, tmp_path):
    edit, reason = WRONG_MEMBER_TENSORS[case]
    assert reason in refusal(edited_mixture(edit, inside=False), tmp_path)


@pytest.mark.parametrize("case", WRONG_CONTENT)
def test_wrong_content_is_refused(case, edited, tmp_path):
    edit, reason = WRONG_CONTENT[case]
    assert reason in refusal(edited(edit, inside=True), tmp_path)


@pytest.mark.parametrize("case", WRONG_HEADERS)
def test_wrong_header_is_refused(case, edited, tmp_path):
    edit, reason = WRONG_HEADERS[case]
    assert reason in refusal(edited(edit, inside=False), tmp_path)
