"""Every kind of constraint, with a text that keeps it and texts that do not."""

from __future__ import annotations

import pytest

from slr.tasks.creative_constraints import CHECKS, constraint_met, lines_of, sentences_of
from slr.tasks.creative_prompts import load_creative_prompts


def lines(*numbers: int) -> str:
    return "\n".join(f"a line of verse {number}" for number in numbers)


CASES: list[tuple[str, str, str]] = [
    # The prompt, a text that keeps its constraint, a text that breaks it.
    ("poem-001", lines(*range(13)) + "\nWho comes?", lines(*range(13)) + "\nNobody comes."),
    (
        "poem-001",
        "**The Keeper**\n\n" + lines(*range(13)) + "\nWho comes?",
        lines(*range(11)) + "\nWho comes?",
    ),
    ("poem-002", "Ice holds its own breath\na crow walks across the sky\nnothing breaks today", "Ice.\nSky."),
    ("poem-005", "\n\n".join(lines(n) for n in range(6)), lines(*range(6))),
    (
        "poem-005",
        "# Ballad\n\n" + "\n\n".join(lines(n) for n in range(6)),
        "\n\n".join(lines(n) for n in range(5)),
    ),
    ("poem-006", "Old tree of patience.", "Old tree, you are patient."),
    ("poem-011", "Hay\nAnd\nRye\nVetch\nEars\nStraw\nTwine", "Hay\nAnd\nRye\nVetch\nEars\nTwine\nStraw"),
    ("poem-012", "word " * 119, "word " * 120),
    ("poem-014", "Hush, you are sleepy.", "Hush, and sleep."),
    ("poem-016", lines(1, 2), lines(1, 2, 3, 4, 5)),
    ("poem-019", "Dear Moon, I turn.", "O Moon, I turn."),
    ("poem-020", "Haul away!\nThe herring run.\nHaul away!", "Haul away!\nThe herring run."),
    ("poem-024", "\n".join(["o jasmine", "my jasmine", *(["a verse"] * 8)]), "\n".join(["o jasmine"] * 9)),
    ("poem-026", lines(*range(8)), lines(*range(10))),
    (
        "poem-030",
        "“The kettle has not sung,”\nand you are gone.",
        "The kettle sang.\nThe kettle has not sung",
    ),
    (
        "poem-033",
        "Rain, I say\n" + lines(*range(12)) + "\nthe rain.",
        "Rain, I say\n" + lines(*range(12)) + "\nthe end.",
    ),
    ("poem-040", "I freeze as they look.", "The actor freezes."),
    ("poem-055", lines(1, 2, 3, 4, 5), lines(1, 2, 3, 4) + "\nripe apples"),
    ("poem-057", "one thread\n\ntwo, a thread", "one thread\n\ntwo"),
    ("poem-073", "It falls and all the echo says\nis silence.", "Silence falls\non us."),
    ("poem-090", "no such letter here", "a lazy text"),
    ("poem-094", "Today I rest.\nToday I fish.", "Today I rest.\nTomorrow I fish."),
    ("poem-098", "I look\nyou look\nI look", "I look\nyou look\nwe look"),
    ("story-001", "The rabbit had died in April. So had the trick.", "In April the rabbit had died."),
    ("story-005", '"It is mine."\n"It is ours."', '"It is mine."\nShe left.'),
    ("story-005", "Ann: It is mine.\nEve: It is ours.", "They sat down."),
    ("story-013", "One. Two! Three? Four. Dr. Five came. Six.", "One. Two. Three. Four. Five."),
    ("story-017", "\n".join(f"Day {n}: we dug." for n in range(1, 6)), "Day 1: we dug.\nDay 2: we left."),
    ("story-027", "They spoke of a fool. She had meant me.", "She had meant me. I left."),
    ("story-028", "The lift opened on nothing.", "There was blood in the lift."),
    ("story-033", "Orange, orange and orange.", "Orange and orange."),
    ("story-044", "He hiccupped, and then he hiccupped again.", "He hiccupped. He stopped."),
    ("story-046", "He drew a coast that was not there.", 'He said, "A coast."'),
    ("story-061", "At 8:30 they open.\nIn the evening they close.", "At 8:30 they open.\nThey close."),
    ("story-086", "Where to? Who knows?", "Where to? Nobody knows."),
    ("story-087", "Afterwards it was light.", "It was light afterwards."),
    ("story-098", "He pours. He smiles.", "He pours.\n\nHe smiles."),
    ("joke-001", "My yoga class is a stretch.", "My class. " * 8),
    ("joke-002", "Knock, knock.\nWho's there?\nLettuce.\nLettuce who?\nLettuce in!", "Who's there? Lettuce."),
    ("joke-004", "What cheese is not yours? Nacho.", "What cheese is not yours? Nacho cheese, of course."),
    ("joke-004", "Q: What cheese is not yours?\nA: Nacho!", "Nacho."),
    ("joke-013", "Two stars: damp.", "One star: damp."),
    ("joke-013", "★★ Damp.", "★★★ Damp."),
    ("joke-015", "The bad news: no parachute. The good news: short trip.", "Good news, then bad news."),
    ("joke-016", '"I am shocked," said Tom.', "Tom was shocked."),
    ("joke-017", "1. Salt it.\n2. Pave it.\n3. Move.", "1. Salt it.\n2. Pave it."),
    ("joke-020", "Toaster: hot?\nBread: toast.", "\n".join("Bread: toast." for _ in range(7))),
    ("joke-021", "Lettuce meet, olive you: peas, carrots and lettuce.", "Peas and carrots."),
    ("joke-022", "Why was he alone? He had no body.", "He had no body."),
    ("joke-026", "One. Two. Three.", "One. Two. Three. Four. Five. Six."),
    ("joke-034", "How many elephants fit? Four, two in front.", "How many elephants fit? None."),
    ("joke-044", "How many? Two: one to hold the note.", "How many? One, who holds it."),
    ("joke-049", "Good news: sun. Bad news: burnt.", "Good news: sun."),
    ("joke-062", "Why do I wave?", "I wave."),
    (
        "joke-075",
        "Knock, knock.\nWho's there?\nCuckoo.\nCuckoo who?\nI did not\ncome to\nclean.",
        "Knock, knock.\nWho's there?\nCuckoo.",
    ),
    ("poem-022", "Nobody is in me, and I stand.", "The armour stands."),
    ("poem-031", "[Verse 1]\na\n\n[Chorus]\nb\n\n[Verse 2]\nc", "[Verse 1]\na\n\n[Chorus]\n\nb"),
    ("poem-045", "A lens is round\nand makes no sound.", "A lens is round\nand makes\nno sound."),
    ("poem-058", "Is anyone there?\nAnyone there.\nI am lost!\nLost.", "Is anyone there?\nNobody."),
    ("poem-067", "You are my proof, my prime, my sum.", "You are my proof, and my star."),
    ("poem-097", "Rain, rain\n\nChorus:\none\ntwo\nthree", "Rain, rain\n\nChorus:\none\ntwo"),
    ("story-041", "“Are you warm?”\n“Quite.”", "They sat in the car and were silent."),
    ("story-045", "MAN: He ran that way.", "He ran that way."),
    ("story-079", "\n\n".join(f"Message {n}. Call me." for n in range(5)), "Message 1. Call me.\n\nCall me."),
    ("joke-008", "Doctor, nobody sees me. Next!", "Nobody sees me. Next!"),
    ("joke-024", "How many? None: the bulb can wait.", "How many? None: it can wait."),
    ("joke-064", "Verily, it taketh three.", "It takes three."),
    (
        "joke-087",
        "Once there was a grain of rice. It was boiled.",
        "A grain of rice was boiled. It was so once.",
    ),
    ("joke-099", "Ask what a sandwich says to bread.", "What does a sandwich say?"),
]


@pytest.mark.parametrize(("prompt", "kept", "broken"), CASES)
def test_a_constraint_is_kept_or_broken(prompt: str, kept: str, broken: str) -> None:
    assert constraint_met(prompt, kept) is True
    assert constraint_met(prompt, broken) is False


def test_every_kind_of_check_has_a_case() -> None:
    def kind(check: object) -> str:
        # A kind with settings is a function inside the function that makes it.
        return getattr(check, "__qualname__", "").split(".")[0]

    kinds = {kind(check) for checks in CHECKS.values() for check in checks}
    tried = {kind(check) for prompt, _, _ in CASES for check in CHECKS[prompt]}
    assert kinds - tried == set()


def test_an_empty_text_keeps_no_constraint() -> None:
    assert not [prompt for prompt in CHECKS if constraint_met(prompt, "")]
    assert not [prompt for prompt in CHECKS if constraint_met(prompt, " \n...\n")]


def test_prompts_are_the_shipped_ones_and_others_have_no_constraint() -> None:
    ids = {prompt.id for prompt in load_creative_prompts()}
    assert set(CHECKS) <= ids
    assert len(CHECKS) == 170
    assert constraint_met("poem-008", "anything") is None


def test_lines_and_sentences() -> None:
    assert lines_of("# Title\n\n*one*\n\ntwo\n---\n") == ["one", "two"]
    assert lines_of("**Title**") == ["Title"]
    spoken = 'Mr. Day came at 3.5. "Who?" she said. ...'
    assert sentences_of(spoken) == ["Mr Day came at 3.5.", '"Who?', "she said."]
