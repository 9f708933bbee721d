"""Sentences with names of people and places, in CoNLL form: `python -m benchmarks.library.names > names.conll`.

The sentences are put together from phrases that were written for charlm. The names are common given names and surnames,
and cities. A test set takes other names than the training set, and half of its sentences follow other patterns.
"""

from __future__ import annotations

import sys

import numpy as np


def words(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


def lines(text: str) -> list[str]:
    """Return the lines of a text that have words, without indentation."""
    return [line.strip() for line in text.splitlines() if line.strip()]


GIVEN = words(
    """
    Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karla Leon Maria Nils Olga Paul Rosa Simon Tessa
    Viktor Alma Bruno Carla Dario Emma Frida Georg Hanna Ivan Julia Kevin Laura Martin Nina Oskar Petra Robert
    Sofia Thomas Ursula Agnes Bernard Cecilia Dominik Esther Fabian Gloria Henrik Ingrid Jakob Karin Lukas
    Miriam Norbert Ottilie Philipp Regina Stefan Theresa Urban Vera Walter Adele Benedikt Cora Daniela Erik
    Florian Gerda Harald Isabel Johanna Konrad Linda Moritz Nora Otto Pia Ruben Silvia Tobias Valentin Wanda
    Xaver Yvonne Zoe
    """
)
SURNAMES = words(
    """
    Adler Bauer Conti Dvorak Eriksen Fischer Garcia Hansen Ivanov Jansen Keller Lopez Moreau Novak Olsen
    Petrov Quinn Rossi Schmidt Torres Ulrich Vogel Weber Yilmaz Ziegler Almeida Bernard Costa Dubois Esposito
    Ferrari Gruber Horvat Jensen Kovacs Lehmann Martinez Nielsen Ortega Pereira Richter Santos Tanaka Urban
    Varga Wagner Zimmermann Andersen Becker Castillo Duarte Engel Farkas Greco Hoffmann Kowalski Lindberg
    Marino Nowak Olsson Popescu Romero Silva Toth Valente Winter Barker Carter Dawson Ellis Fletcher Graham
    Hughes Irving Jarvis Kendall Lawson Mercer Norton Osborne Parker Reeves Sawyer Turner Vaughan Walsh
    """
)
CITIES = words(
    """
    Amsterdam Bergen Cordoba Dresden Edinburgh Florence Geneva Hamburg Istanbul Jerusalem Krakow Lisbon Madrid
    Naples Oslo Prague Quito Riga Salzburg Toronto Utrecht Vienna Warsaw Zagreb Athens Berlin Cairo Dublin
    Essen Frankfurt Granada Helsinki Izmir Kiev London Marseille Nairobi Oxford Paris Rome Seville Tallinn
    Uppsala Venice York Zurich Antwerp Bologna Cologne Delhi Exeter Ghent Havana Innsbruck Kyoto Leipzig
    Munich Odessa Porto Rotterdam Sofia Turin Valencia Wellington
    """
)
COMPOUND = [
    "New York",
    "San Francisco",
    "Buenos Aires",
    "Cape Town",
    "Rio de Janeiro",
    "Los Angeles",
    "Hong Kong",
    "San Jose",
]
OPENINGS = lines(
    """
    Yesterday
    In May
    After the war
    Last summer
    When the bell rang ,
    On Monday
    At noon
    Nobody knew why
    My sister says that
    The Judge wrote that
    """
)
PEOPLE = lines(
    """
    {p}
    {p} and {p}
    a friend of {p}
    Doctor {p}
    {p} , the painter ,
    the Captain
    everyone but {p}
    the wife of {p}
    an old man
    """
)
VERBS = lines(
    """
    met {p}
    lives alone
    bought a small house
    wrote a letter to {p}
    never returned
    works for a bank
    was seen with {p}
    sold the boat
    asked {p} about the key
    thanked the Mayor
    left without a word
    read the Times
    """
)
PLACES = lines(
    """
    in {l}
    near {l}
    on the road from {l} to {l}
    between {l} and {l}
    not far from {l}
    by the Sea
    at the market
    on the train to {l}
    """
)
PATTERNS = lines(
    """
    Last summer {p} walked from {l} to {l} .
    The painting belongs to {p} , not to the museum .
    " Good morning , {p} , " said the teacher .
    Few people in {l} remember {p} today .
    The road between {l} and {l} is closed .
    A friend of {p} lives next door .
    The Judge asked Nobody , and Nothing happened on Monday .
    Two boats and a small plane were seen near {l} .
    """
)


def make_sentences(count: int, *, test: bool, seed: int = 0) -> list[list[tuple[str, str]]]:
    """Return sentences of tokens with BIO labels, (token, label). No name of the test is in the training set."""
    rng = np.random.default_rng([seed, int(test)])
    part = slice(1, None, 4) if test else slice(None)
    given, surnames, cities = ([*names][part] for names in (GIVEN, SURNAMES, [*CITIES, *COMPOUND]))
    if not test:
        given, surnames, cities = (
            [name for k, name in enumerate(names) if k % 4 != 1] for names in (given, surnames, cities)
        )

    def pattern() -> str:
        if test and rng.random() < 0.5:
            return str(rng.choice(PATTERNS))
        opening, people, verb, place = (str(rng.choice(part)) for part in (OPENINGS, PEOPLE, VERBS, PLACES))
        sentence = " ".join([opening, people, verb, place, "."] if rng.random() < 0.5 else [people, verb, place, "."])
        return sentence if sentence.startswith("{") else sentence[0].upper() + sentence[1:]

    def person() -> str:
        first, last = str(rng.choice(given)), str(rng.choice(surnames))
        return [first, f"{first} {last}", f"{first} {last}", last][rng.integers(4)]

    sentences = []
    for _ in range(count):
        tokens: list[tuple[str, str]] = []
        for word in pattern().split():
            if word in ("{p}", "{l}"):
                name, kind = (person(), "PER") if word == "{p}" else (str(rng.choice(cities)), "LOC")
                tokens += [(part, f"{'I' if k else 'B'}-{kind}") for k, part in enumerate(name.split())]
            else:
                tokens.append((word, "O"))
        sentences.append(tokens)
    return sentences


def to_conll(sentences: list[list[tuple[str, str]]]) -> str:
    """Return sentences in CoNLL form."""
    return "\n".join("".join(f"{token}\t{label}\n" for token, label in sentence) for sentence in sentences)


if __name__ == "__main__":
    sys.stdout.write(to_conll(make_sentences(400, test=False)))
