"""charlm score: print how probable texts are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain

import click

import charlm
from charlm.cli import mixing, options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs, each_with, name_stdin_once, read_groups, read_option, refuse_unknown
from charlm.cli.tables import LOGARITHMS
from charlm.cli.terminal import shows_colors, warn

scoring_option = option_group("Scoring")


@click.command("score", cls=Command)
@options.texts
@options.decoding
@mixing.models
@scoring_option(
    "--context", default="", show_default=False, metavar="TEXT",
    help='Read this before each text, without scoring it. "-" is standard input.',
)  # fmt: skip
@scoring_option("--eos/--no-eos", "end", default=None, show_default="if the model learned lines",
                help="Score the end of each text.")  # fmt: skip
@scoring_option("--strict", is_flag=True, help="Refuse texts with characters outside the vocabulary.")
@scoring_option("--pseudo", is_flag=True, help="Score each character given all others, with a bidirectional model.")
@scoring_option("--adapt", is_flag=True,
                help="Adapt the weights while scoring (dynamic evaluation); the model file is unchanged.")  # fmt: skip
@options.exclusive("view", "--summary", value="summary", help="Print a summary of all texts.")
@options.exclusive("view", "--per-char", value="chars",
                   help="Print the probability, rank and alternatives of each character.")  # fmt: skip
@options.exclusive("view", "--per-word", value="by_word",
                   help="Print the probability of each word, with the space before it.")  # fmt: skip
@options.exclusive("view", "--rank", value="groups",
                   help='Rank the candidates of each group, from files of lines "group TAB candidate".')  # fmt: skip
@options.records
@options.output("--base", type=click.Choice(list(LOGARITHMS)), default="e",
               help="Print tables and summaries in nats (e), bits (2) or bans (10).")  # fmt: skip
@options.output("-k", "--best", default=5, type=click.IntRange(0), metavar="K",
                help="Print K alternatives of each character.")  # fmt: skip
@options.output("--color/--no-color", default=None, show_default="on a terminal", help="Colour --per-char.")
@options.threads
def command(
    inputs: Inputs, encoding: str | None, errors: str | None, chosen: mixing.Chosen, threads: int | None,
    context: str, end: bool | None, strict: bool, pseudo: bool, adapt: bool,
    view: str | None, form: str | None, base: str, best: int, color: bool | None,
) -> None:  # fmt: skip
    """Print the probability of each TEXT: log-probability in nats, bits per character, perplexity.

    Several texts are ranked, the most probable first, each with its probability relative to the others. --json and
    --tsv keep the order of the input and print each score as it is computed, for any number of lines. With --pseudo,
    the scores are pseudo-log-likelihoods; compare them only with one another. Without --label, a model of train
    --labels sums the probabilities of a text over all labels, weighted by their frequencies.

    Examples:
      charlm score "the quick brown fox" "the quick fox brown"
      charlm score --file log.txt --lines --tsv > scores.tsv
      charlm score --per-char --color "the qick brown fox"
      charlm score --per-word --base 2 "the quick brown fox"
    """
    from charlm.cli.scores import Output, print_characters, print_groups, print_scores, print_words

    check_flags(inputs, context, view, form, base, color, adapt=adapt)
    if pseudo and (adapt or context or end or view in ("chars", "groups")):
        raise click.UsageError("--pseudo cannot be combined with --context, --eos, --per-char, --rank or --adapt")
    sources = (context, *inputs.sources)
    model = mixing.open_models(chosen, threads, encoding=encoding, errors=errors, texts=sources)
    single = mixing.require_one(model, "--pseudo" if pseudo else "--adapt") if pseudo or adapt else None
    context = read_option(context, model.text)
    score_many = partial(model.score_many, end=end, context=context, threads=threads)
    output = Output(form, base, model.text.unit)

    def checked(candidates: Iterable[str]) -> Iterable[str]:
        """Refuse unknown characters with --strict."""
        return refuse_unknown(model, candidates) if strict else candidates

    def scores(texts: Iterator[str]) -> Iterable[charlm.Score]:
        """Score texts as the flags say."""
        if single is None and view == "by_word":
            return (model.score(text, end=end, context=context) for text in checked(texts))
        if single is None:
            return score_many(checked(texts))
        if pseudo:
            return map(single.pseudo_score, checked(texts))
        return single.score_adaptively(checked(texts), end=end)

    if view == "groups":
        groups = chain.from_iterable(read_groups(source, model.text) for source in inputs.sources)
        return print_groups(((name, each_with(texts, scores)) for name, texts in groups), output)
    if view == "chars":
        is_coloured = color if color is not None else shows_colors() and form is None
        characters = partial(model.score_characters, end=end, context=context, alternatives=best)
        cleaned = (text._replace(text=model.clean(text.text)) for text in inputs.texts(model.text))
        texts = (text for text, _ in each_with(cleaned, checked))
        return print_characters(((text, characters(text.text)) for text in texts), is_coloured, output)
    if single and pseudo:
        options.require_bidirectional(single)
    scored = each_with(inputs.texts(model.text), scores)
    return print_words(scored, output) if view == "by_word" else print_scores(scored, view == "summary", output)


def check_flags(
    inputs: Inputs, context: str, view: str | None, form: str | None, base: str, color: bool | None, *, adapt: bool
) -> None:
    """Raise UsageError for flags that contradict each other."""
    if view == "groups" and inputs.has_texts:
        raise click.UsageError('--rank reads lines "group TAB candidate" from files; name them with --file')
    if adapt and (context or view in ("chars", "groups")):
        raise click.UsageError("--adapt cannot be combined with --context, --per-char or --rank")
    if color and form:
        raise click.UsageError(f"--color and --{form} exclude each other; pass one of them")
    name_stdin_once(context, *inputs.sources)
    if form and base != "e":
        warn(f"--base {base} changes tables and summaries; --{form} prints nats")
