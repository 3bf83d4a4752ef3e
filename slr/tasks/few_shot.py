"""Worked examples by task, for a base model that is asked in a document.

No example is a request of an experiment, and no answer is a right answer to one. The testbed's examples are in the
wordings of its own documents. It has no open question or subject that no experiment asks for, so its examples are of
other kinds, as they stand next to each other in its documents.
"""

from __future__ import annotations

from dataclasses import replace

from slr.chat.few_shot import BLANK_LINE, FewShotDocument
from slr.tasks.reasoning import INSTRUCTION
from slr.vocabulary import Source, TaskName

_TESTBED_SHOTS = (
    ("Take one lowercase letter at random from e, h, o, t and y. Say just the letter.", "o"),
    (
        "Tom has 3 keys. Then Tom finds 2 more. Next Tom loses 1. How many keys in the end?",
        "3 + 2 = 5. 5 - 1 = 4. answer: 4",
    ),
    ("Draw a random digit from 0, 5, 8 and 9. Give the digit alone.", "8"),
)
_OPEN_QA_SHOTS = (
    ("Name one kitchen utensil. Answer with its name only.", "ladle"),
    ("Name a kind of fabric. Give only its name.", "corduroy"),
    ("Name one part of a bicycle. Write only the name of the part.", "saddle"),
    ("Which kinds of clouds are there? Name one, and nothing else.", "cumulus"),
)
_REASONING_SHOTS = (
    (
        "A bus carries 14 people. At the next stop 5 get off and 3 get on. How many people does it carry then? "
        + INSTRUCTION,
        "14 - 5 = 9. 9 + 3 = 12. answer: 12",
    ),
    (
        f"A rope is 30 metres long. It is cut into 6 equal parts. How long is each part in metres? {INSTRUCTION}",
        "30 / 6 = 5. answer: 5",
    ),
    (
        f"A ticket costs 7 dollars. Two adults and one child pay for three of them. What do they pay? {INSTRUCTION}",
        "3 * 7 = 21. answer: 21",
    ),
)
_WRITING_SHOTS = (
    (
        "Write a four-line poem about an umbrella.",
        "My umbrella leans against the door,\nstill dripping from the week before,\n"
        "and dreams, though it would never say,\nof standing open one dry day.",
    ),
    (
        "Tell me a very short story about a lost glove.",
        "The glove lay on the fence post all winter. In March its owner came back along the path, wearing the other "
        "one, and the two of them went home together.",
    ),
    (
        "Tell me a joke about a ladder.",
        "I bought a ladder last week, but we do not talk any more. It was always looking down on me.",
    ),
)
_DOCUMENTS: dict[TaskName, FewShotDocument] = {
    "creative_writing": FewShotDocument(_WRITING_SHOTS, BLANK_LINE),
    "open_qa": FewShotDocument(_OPEN_QA_SHOTS),
    "reasoning": FewShotDocument(_REASONING_SHOTS),
}


def few_shot_document(task: TaskName, source: Source) -> FewShotDocument:
    """The document in which a base model is asked a task's requests.

    An answer is one line. A creative text may have several, and ends at a blank line.
    """
    document = _DOCUMENTS[task]
    return replace(document, shots=_TESTBED_SHOTS) if source == "testbed" else document
