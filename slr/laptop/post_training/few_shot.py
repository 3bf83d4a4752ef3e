"""The start model as a rater and as a source of answers: few-shot, in a plain document outside any chat template.

So an answer is one that the start model itself finds likely, whatever a template does to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from transformers import DynamicCache, PreTrainedTokenizerBase

from slr.chat.few_shot import blank_tokens_with
from slr.laptop.post_training.policy import StartModel, Tokens, prefix_cache, score_answers
from slr.laptop.post_training.requests.prompts import Family, TrainingPrompt

SHOTS: dict[Family, tuple[tuple[str, str], ...]] = {
    "naming": (
        ("Mention a wedding gift, without explaining it.", "vase"),
        ("An example of a thing in a garage, please.", "ladder"),
        ("A souvenir, quickly!", "snow globe"),
        ("Could you think of a thing at the dentist's? Two or three words at most.", "drill"),
        ("Someone asks you for a decoration. What do you say?", "candle"),
    ),
    "picking": (
        ("Lamp, rug or curtain: say which you would rather have.", "rug"),
        ("One word out of these, please: bridge, path, stairs, road or tunnel.", "path"),
        ("You may keep one: snow globe, postcard, shell or magnet. Which?", "magnet"),
        ("Ladder, paint or tape: say which you would rather have.", "ladder"),
    ),
    "yes_no": (
        ("Would you call “pillow” a tunnel? Yes or no.", "no"),
        ("Is a ladder bigger than a spoon? Yes or no.", "yes"),
        ("Would you call “vase” a wedding gift? Yes or no.", "yes"),
        ("Is a stamp bigger than a door? Yes or no.", "no"),
        ("Would you call “postcard” a souvenir? Yes or no.", "yes"),
    ),
    "arithmetic": (
        ("What is 3 plus 1?", "4"),
        ("12 minus 2 is what?", "10"),
        ("What number follows 20?", "21"),
        ("Double 11.", "22"),
        ("The larger of 1 and 14 is which?", "14"),
        ("Take 1 away from 6.", "5"),
    ),
    "format": (
        ("Write the word river in capitals.", "RIVER"),
        ("Put the word cloud between round brackets.", "(cloud)"),
        ("Two things in a garage, separated by commas.", "ladder, paint"),
        ("Write path with a capital at its beginning.", "Path"),
        ("Four souvenirs, separated by commas.", "magnet, postcard, snow globe, shell"),
        ("Write rug twice, with a comma between.", "rug, rug"),
        ("Write the number 12 as a word.", "twelve"),
        ("Join the words old and stairs by a hyphen.", "old-stairs"),
        ("Three decorations, separated by commas.", "candle, ribbon, wreath"),
        ("Write the word lamp and then an exclamation mark.", "lamp!"),
    ),
    "sentiment": (
        ("Positive or negative? “The play was boring.”", "negative"),
        ("Positive or negative? “The view was lovely.”", "positive"),
        ("Positive or negative? “The jacket was well made.”", "positive"),
        ("Positive or negative? “The queue was endless.”", "negative"),
    ),
    "copy": (
        ("Copy: The cat sleeps on the stairs.", "The cat sleeps on the stairs."),
        ("Repeat this sentence word for word: We sold the tent.", "We sold the tent."),
        ("Copy: The lights went out at nine.", "The lights went out at nine."),
    ),
    "writing": (
        ("Describe a garden shed in one sentence.", "The garden shed smells of earth, oil and old wood."),
        (
            "Ask a friend a question about a museum ticket.",
            "Did you remember to buy a museum ticket for Sunday?",
        ),
        (
            "Write a note to a neighbour about a ladder. One sentence.",
            "Could I borrow your ladder this weekend?",
        ),
        ("Advertise a snow globe in one sentence.", "Take winter home with a snow globe!"),
        (
            "Complain politely, in one sentence, about the stairs.",
            "I am sorry to say that the stairs are slippery.",
        ),
    ),
    "longer_writing": (
        (
            "In two or three sentences, say what one should know about a garden shed.",
            "A garden shed keeps tools dry. Open its door now and then, because damp air makes wood rot.",
        ),
        (
            "Two or three sentences of an e-mail about a museum ticket, please.",
            "I have bought your museum ticket. It is valid on Sunday. Please bring it with you.",
        ),
    ),
}
"""Requests and answers, of kinds and subjects that are neither trained on nor used for development."""


class FewShotModel:
    """A frozen model that reads the shots of a request's family before it."""

    def __init__(self, start: StartModel) -> None:
        """Put the shots of every family into tokens."""
        self.model = start.model
        self.tokenizer = start.tokenizer
        self.end_tokens = tokens_with_a_line_end(self.tokenizer)
        self._shots = {family: self._ids(shots_text(family), is_first=True) for family in SHOTS}
        self._prefixes: dict[Family, DynamicCache] = {}

    def prompts(self, prompts: Sequence[TrainingPrompt]) -> list[list[int]]:
        """Token ids of the whole document up to the answer."""
        return [self._shots[prompt.family] + self._ids(_question(prompt.request)) for prompt in prompts]

    def typicality(self, family: Family, requests: Sequence[str], answers: Sequence[str]) -> list[float]:
        """How typical each answer is: the geometric mean of its tokens' probabilities, end of line included, in [0, 1].

        Args:
            family: family of all requests.
            requests: the request of each answer.
            answers: the answers, in one line each.
        """
        if family not in self._prefixes:
            self._prefixes[family] = prefix_cache(self.model, self._shots[family])
        rows: list[Tokens] = [
            (self._ids(_question(request)), self._ids(f" {answer.strip()}\n"))
            for request, answer in zip(requests, answers, strict=True)
        ]
        scores = score_answers(self.model, rows, self._prefixes[family])
        return [math.exp(total / length) for total, length in scores]

    def _ids(self, text: str, is_first: bool = False) -> list[int]:
        begin = [self.tokenizer.bos_token_id] if is_first and self.tokenizer.bos_token_id is not None else []
        return begin + self.tokenizer(text, add_special_tokens=False)["input_ids"]


def shots_text(family: Family) -> str:
    """The document before every request of a family."""
    return "".join(f"{_question(request)} {answer}\n\n" for request, answer in SHOTS[family])


def tokens_with_a_line_end(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of all tokens that are blank and hold a line end, and of the end of a text: any of them ends an answer."""
    ends = blank_tokens_with(tokenizer, "\n")
    end_of_text = tokenizer.eos_token_id
    return [*ends, end_of_text] if isinstance(end_of_text, int) else ends


def _question(request: str) -> str:
    return f"Request: {request}\nAnswer:"
