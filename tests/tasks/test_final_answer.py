"""Outputs as base models, hybrids and chat models write them, with the number that each commits to."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from slr.tasks.final_answer import parse_final_answer
from slr.tasks.reasoning import ReasoningProblem, is_right

RUN_ONS = [
    ("She sells 9 eggs. answer: 18\n\nQuestion: Tom has 3 pens and buys 2. answer: 5", "18"),
    ("answer: 18 Question: Tom has 5 pens. How many? answer: 5", "18"),
    ("answer: 18Question: Tom has 5 pens. answer: 5", "18"),
    ("#### 18\n\nQ: Tom has 5 pens. How many?\nA: 5\n#### 5", "18"),
    ("The answer is 18.\n\nQ: If there are 3 cars, how many wheels?\nA: The answer is 12.", "18"),
    ("answer: 18\nproblem: Ann has 2 keys.\nanswer: 2", "18"),
    ("answer: 18\n\nProblem 2: Ann has 2 keys.\nanswer: 2", "18"),
    ("answer: 18\n\n**Problem 2**\nAnn has 2 keys.\n**Answer:** 2", "18"),
    ("answer: 18\n\nUser: And 2 + 2?\nAssistant: answer: 4", "18"),
    ("answer: 18 User: And 2 + 2? Assistant: answer: 4", "18"),
    ("answer: 18\nHUMAN: And 2 + 2?\nASSISTANT: answer: 4", "18"),
    ("\\boxed{18}\n\n### Instruction:\nAdd 2 and 2.\n\n### Response:\n\\boxed{4}", "18"),
    ("answer: 18\n\nExercise 2\nAnn has 2 keys. answer: 2", "18"),
    ("answer: 18Exercise 2: Ann has 2 keys. answer: 2", "18"),
    ("answer: 18<|im_end|>\n<|im_start|>user\nAnd 2 + 2?<|im_end|>\n<|im_start|>assistant\nanswer: 4", "18"),
    ("answer: 18<|IM_START|>user\nAnd 2 + 2? answer: 4", "18"),
    ("answer: 18<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n2 + 2? answer: 4", "18"),
    (
        "answer: 18<end_of_turn>\n<start_of_turn>user\n2 + 2?<end_of_turn>\n<start_of_turn>model\nanswer: 4",
        "18",
    ),
    ("answer: 18 </s> [INST] 2 + 2? [/INST] answer: 4", "18"),
    ("answer: 18\n[INST] 2 + 2? [/INST] answer: 4", "18"),
    ("answer: 18<|endoftext|>Tom has 4 pens. answer: 4", "18"),
    ("answer: 18<|end_of_text|><|begin_of_text|>Tom has 4 pens. answer: 4", "18"),
    ("answer: 18<|user|>\n2 + 2?\n<|assistant|>\nanswer: 4", "18"),
    ("answer: 18<eos><bos>2 + 2? answer: 4", "18"),
    ("answer: 18user\n\n2 + 2?assistant\n\nanswer: 4", "18"),
    ("answer: 18\nuser\n2 + 2?\nassistant\nanswer: 4", "18"),
    ("answer: 18\nuser\n2 + 2?\nmodel\nanswer: 4", "18"),
    ("answer: 18 eggs Question: Tom has 5 pens. answer: 5", "18"),
    ("answer: 18\n\nNext problem: Tom has 5 pens. answer: 5", "18"),
    ("answer: 18\n\nHere is another problem: Tom has 5 pens. answer: 5", "18"),
    ("answer: 18\n\nSolve the following problem. Tom has 5 pens. answer: 5", "18"),
    ("answer: 18\n\n### Question 2\nTom has 5 pens.\n### Answer\n5", "18"),
    ("answer: 18\n\nQ2. Tom has 5 pens. answer: 5", "18"),
    ("answer: 10 or 11\n\nQuestion: Tom has 5 pens. answer: 5", None),
    ("answer: 18\n\nQuestion: Tom has 5 pens. answer:", "18"),
    ("Question: Janet has 16 eggs and eats 3. How many are left?\nAnswer: 13", "13"),
    ("Question: Janet has 16 eggs. How many?\nAnswer: 16\n\nQuestion: Tom has 5. How many?\nAnswer: 5", "16"),
    ("Q: 16 - 3?\nA: 16 - 3 = 13. The answer is 13.\n\nQ: 1 + 1?\nA: The answer is 2.", "13"),
    ("**Problem:** Janet has 16 eggs.\n\n**Solution:** 16.\n\n**Answer:** 16", "16"),
    (
        "User: Janet has 16 eggs and eats 3.\nAssistant: 16 - 3 = 13. answer: 13\nUser: 1 + 1?\nanswer: 2",
        "13",
    ),
    ("<|im_start|>user\n16 - 3?<|im_end|>\n<|im_start|>assistant\nanswer: 13<|im_end|>", "13"),
    ("<|im_start|>assistant\nanswer: 13<|im_end|>\n<|im_start|>user\n1 + 1? answer: 2", "13"),
    ("Question: 16 eggs. End with 'answer: ' and the number.\nanswer: 13\nQuestion: 1 + 1? answer: 2", "13"),
    ("Janet has 16 eggs and eats 3. Question: how many are left? Answer: 13", "13"),
    ("She has 18 eggs left.\n\nQuestion: Tom has 3 pens and buys 2. How many? answer: 5", None),
    ("16 + 2 = 18.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nanswer: 5", None),
    ("answer: 20. Let me re-read the problem: she has 16 and gets 2. answer: 18", "18"),
    ("Step 1: 16 - 3 = 13.\nStep 2: 13 * 2 = 26.\nAnswer: 26\n\nExplanation: 13 pairs.", "26"),
]

MARKS = [
    ("answer: 18", "18"),
    ("answer is 18", "18"),
    ("answer = 18", "18"),
    ("the final answer is 18", "18"),
    ("The final answer is: $\\boxed{18}$. I hope it is correct.", "18"),
    ("Final Answer: The final answer is 18. I hope it is correct.", "18"),
    ("## Final Answer\n\n18", "18"),
    ("**Final Answer**\n\n$$\\boxed{18}$$", "18"),
    ("### Answer\n**18** eggs", "18"),
    ("#### 18", "18"),
    ("#### $18", "18"),
    ("#### Step 1: Count the 16 eggs\nShe has 16.\n#### Step 2: Add 2\n\n**Answer: 18**", "18"),
    ("\\boxed{18}\n\n#### 1. Check\nAll is well.", "18"),
    ("<answer>18</answer>", "18"),
    ("<think>The answer is 20? No.</think>\n<answer>\n18\n</answer>", "18"),
    ("<ANSWER> 18 eggs </ANSWER> as 20 - 2", "18"),
    ("\\fbox{18}", "18"),
    ("$\\boxed{18}$ eggs", "18"),
    ("\\boxed{18 \\text{ eggs}}", "18"),
    ("\\[ \\boxed{\\$18} \\]", "18"),
    ("\\boxed{\\mathbf{18}}", "18"),
    ("**Answer:** 18", "18"),
    ("**Answer: 18**", "18"),
    ("__Answer__: 18", "18"),
    ("> Answer: `18`", "18"),
    ("Answer: [18]", "18"),
    ('Answer: "18"', "18"),
    ("Answer -> 18", "18"),
    ("Answer (in dollars): 18", "18"),
    ("Ans: 18", "18"),
    ("The answer's 18.", "18"),
    ("The answer to the question is 18.", "18"),
    ("The answer would be 18 dollars.", "18"),
    ("The answer, therefore, is 18.", "18"),
    ("The correct answer is (B) 18.", "18"),
    ("Final answer 18", "18"),
    ("answer: 18 eggs = $36", "36"),
    ("answer: 9 eggs * $2 = $18 per day", "18"),
    ("answer: 9 * 2 = <<9*2=18>>18", "18"),
    ("answer: 18 = 9 * 2", "18"),
    ("answer: 20 minus 2 equals 18", "18"),
    ("answer: 18 (9 * 2 = 18)", "18"),
    ("answer: 18 because 16 - 7 = 9 and each costs 2", "18"),
    ("The answer is 18 because 9 * 2 = 18", "18"),
    ("answer: x = 18", "18"),
    ("The answer is obtained by multiplying 9 by 2. answer: 18", "18"),
    ("answer: 18. The answer is obtained by adding 9.", "18"),
    ("answer: 18\nanswer: 18\nanswer: 18", "18"),
    ("answer: 16. answer: 18", "18"),
    ("The answer is 16.\n\\boxed{18}", "18"),
    ("\\boxed{16}. The answer is 18.", "18"),
    ("answer: Janet makes $18 every day.", "18"),
    ("The answer is that she has 18 eggs.", "18"),
    ("answer: It is 18.", "18"),
    ("answer: exactly 18", "18"),
    ("answer: a total of 18 eggs", "18"),
    ("answer: Total = 18", "18"),
    ("answer: <18>", "18"),
    ("answer: <b>18</b>", "18"),
    ("answer: ~~16~~ 18", "18"),
    ("answer: 18😀", "18"),
    ("So she makes 9 * 2 = $18. answer:18", "18"),
    ("The answer is in the text above.", None),
    ("The answer is unknown.", None),
    ("Therefore she makes $18.", None),
    ("She makes 9 * 2 = 18 dollars.", None),
    ("answer:", None),
    ("answer: <number>", None),
]

NUMBERS = [
    ("answer: 2 1/2", "5/2"),
    ("answer: 2 1/2 cups", "5/2"),
    ("answer: 2½ cups", "5/2"),
    ("answer: ½", "1/2"),
    ("answer: -½", "-1/2"),
    ("answer: 2 and 1/2", "5/2"),
    ("answer: two and a half", "5/2"),
    ("answer: three quarters", "3/4"),
    ("answer: 5⁄2", "5/2"),
    ("answer: $\\frac{5}{2}$", "5/2"),
    ("\\boxed{2\\frac{1}{2}}", "5/2"),
    ("\\boxed{-\\tfrac{5}{2}}", "-5/2"),
    ("\\boxed{\\frac52}", "5/2"),
    ("answer: 18.00", "18"),
    ("answer: $18.50.", "18.5"),
    ("answer: US$18", "18"),
    ("answer: 18 USD", "18"),
    ("answer: USD 18", "18"),
    ("answer: Rs. 18", "18"),
    ("answer: 18€", "18"),
    ("answer: 18 $", "18"),
    ("answer: \\$18", "18"),
    ("answer: $18$", "18"),
    ("answer: $\\$18$", "18"),
    ("answer: 18\\text{ apples}", "18"),
    ("answer: 1{,}000", "1000"),
    ("answer: 1\\,000", "1000"),
    ("answer: 70 000", "70000"),
    ("answer: 70\u2009000", "70000"),
    ("answer: 70\u202f000 people", "70000"),
    ("answer: 1,234,567", "1234567"),
    ("answer: 1 234 567.5", "1234567.5"),
    ("answer: 1_000_000", "1000000"),
    ("answer: 1'000", "1000"),
    ("answer: 1,00,000", "100000"),
    ("answer: 70k", "70000"),
    ("answer: $70K", "70000"),
    ("answer: 1.5k", "1500"),
    ("answer: $2.5M", "2500000"),
    ("answer: 70km", "70"),
    ("answer: 5m", "5"),
    ("answer: 1 million", "1000000"),
    ("answer: 2.5 million dollars", "2500000"),
    ("answer: 3 billion", "3000000000"),
    ("answer: 1 hundred", "100"),
    ("answer: 12 hundred", "1200"),
    ("answer: two thousand five hundred and six", "2506"),
    ("answer: 2 million 300 thousand", "2300000"),
    ("answer: a hundred", "100"),
    ("answer: twenty", "20"),
    ("answer: Twenty-one.", "21"),
    ("answer: eighteen (18)", "18"),
    ("The answer is eighteen dollars.", "18"),
    ("answer: Tom has eighteen eggs.", "18"),
    ("answer: zero", "0"),
    ("answer: a dozen", "12"),
    ("answer: two dozen eggs", "24"),
    ("answer: half a dozen", "6"),
    ("answer: 1e3", "1000"),
    ("answer: 1.5e-1", "0.15"),
    ("answer: 1.5 x 10^3", "1500"),
    ("answer: $1.5 \\times 10^{3}$", "1500"),
    ("answer: 1.5×10³", "1500"),
    ("answer: 18%", "18"),
    ("answer: 18 percent", "18"),
    ("\\boxed{18\\%}", "18"),
    ("answer: -18", "-18"),
    ("answer: −18", "-18"),
    ("answer: minus 18", "-18"),
    ("answer: negative 18", "-18"),
    ("answer: -$18.50", "-18.5"),
    ("answer: 18 m²", "18"),
    ("answer: 18 cm^2", "18"),
    ("answer: 18^\\circ", "18"),
    ("answer: １８", "18"),
    ("answer: 1,23", None),
    ("answer: 7:30", None),
    ("answer: one of them", None),
]

COMMITMENT = [
    ("answer: 10 to 12", None),
    ("answer: 10-12", None),
    ("answer: 10 – 12 eggs", None),
    ("answer: $10 to $12", None),
    ("answer: between 10 and 12", None),
    ("answer: from 10 to 12", None),
    ("answer: 10 eggs to 12 eggs", None),
    ("answer: ten to twelve", None),
    ("\\boxed{10-12}", None),
    ("\\boxed{10 \\text{ to } 12}", None),
    ("answer: 10 or 11", None),
    ("answer: 10 or maybe 11", None),
    ("answer: either 10 or 11", None),
    ("answer: 10, 11", None),
    ("answer: 10, 11, or 12", None),
    ("answer: 10 and 11", None),
    ("answer: 12 apples and 6 pears", None),
    ("answer: Tom has 10 or 11 apples", None),
    ("\\boxed{10} or \\boxed{11}", None),
    ("\\boxed{10} or 11", None),
    ("answer: x = 10, y = 11", None),
    ("answer: 18 (or 18.00)", "18"),
    ("answer: 1/2 or 0.5", "1/2"),
    ("answer: 18. answer: 10 or 11", None),
    ("answer: 18 is wrong, the right one is 20", "20"),
    ("answer: 18 is wrong. The correct answer is 20.", "20"),
    ("answer: 18 is incorrect.", None),
    ("answer: 18 (wrong)", None),
    ("answer: 18? No, 20.", "20"),
    ("answer: 18... no, 20", "20"),
    ("The answer is 18. No wait, 20.", "20"),
    ("answer: 18, sorry, 20", "20"),
    ("answer: 18, I mean 20", "20"),
    ("answer: 18 (actually 20)", "20"),
    ("answer: 18. Correction: 20", "20"),
    ("answer: 18 or, rather, 20", "20"),
    ("answer: 18\nWait, that's wrong. 16 - 3 = 13, 13 + 7 = 20.", "20"),
    ("answer: 18\n\nNo, that is not right. It should be 20 because she has 10 more.", "20"),
    ("answer: 18\nWait, that's not right.", None),
    ("answer: 18. Wait, let me check: 9 * 2 = 18. Yes.", "18"),
    ("answer: 18. Wait, is that right?", "18"),
    ("The answer is 18. Hmm, the answer is wrong. The answer is 20.", "20"),
    ("The answer is 18. That answer is wrong.", None),
    ("answer: not 18 but 20", "20"),
    ("answer: not 18, but 20", "20"),
    ("The answer is not 18 but 20.", "20"),
    ("The answer isn't 18, it's 20.", "20"),
    ("The answer is not 18.", None),
    ("The answer is not 18. It is 20.", "20"),
    ("The answer is 18. No, the answer is not 18.", None),
    ("The answer is 18. The answer is not 20.", "18"),
    ("answer: 20, not 18", "20"),
    ("answer: 20 instead of 18", "20"),
    ("\\boxed{18} is wrong, the right one is \\boxed{20}", "20"),
    ("\\boxed{18} is wrong.", None),
    ("answer: 3 hours and 30 minutes", None),
    ("answer: 3 hours 30 minutes", None),
    ("answer: 3h 30m", None),
    ("answer: 3 hours, 30 minutes", None),
    ("answer: 5 feet 6 inches", None),
    ("answer: 5'6\"", None),
    ("answer: 2 dollars and 50 cents", None),
    ("answer: three hours and thirty minutes", None),
    ("answer: 18 dollars and 0 cents", "18"),
    ("answer: about 18", "18"),
    ("answer: approximately 18", "18"),
    ("answer: ~18", "18"),
    ("answer: ≈ 18", "18"),
    ("answer: approx. 18", "18"),
    ("answer: more than 18", None),
    ("answer: at least 18", None),
    ("answer: at most 18", None),
    ("answer: up to 18", None),
    ("answer: 18 or more", None),
    ("answer: 18 eggs at least", None),
    ("answer: 18+", None),
    ("answer: > 18", None),
    ("answer: \\geq 18", None),
    ("answer: x > 18", None),
    ("answer: Tom has at least 18 eggs", None),
    ("answer: almost 18", None),
    ("answer: less than 18", None),
    ("answer: 18 + 2", None),
    ("answer: 9 times 2", None),
    ("answer: half of 36", None),
    ("answer: 18 eggs in 5 days", "18"),
    ("answer: 18 apples — 9 in the morning and 9 in the evening", "18"),
    ("answer: 18, since 9 * 2 = 18", "18"),
    ("answer: 18. If he had 2 more, he would have 20.", "18"),
    ("answer: 18. No further steps are needed.", "18"),
]


@pytest.mark.parametrize(("text", "expected"), [*RUN_ONS, *MARKS, *NUMBERS, *COMMITMENT])
def test_final_answers(text: str, expected: str | None):
    found = parse_final_answer(text)
    assert (None if found is None else Fraction(found)) == (None if expected is None else Fraction(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She makes 9 * 2 = $18 every day.", "18"),
        ("She makes 18.\n\nQuestion: Tom has 3 pens. How many?\nHe has 3.", "18"),
        ("Janet has eighteen eggs.", "18"),
        ("She makes $1,800 in all.", "1800"),
        ("answer: 18. She has 20 left.", "18"),
        ("answer: 10 or 11", None),
        ("The answer is not 18.", None),
        ("No number at all.", None),
        ("", None),
    ],
)
def test_last_number_counts_only_if_asked_for(text: str, expected: str | None):
    assert parse_final_answer(text, last_number_counts=True) == expected
    if "answer:" not in text:
        assert parse_final_answer(text) is None
    if expected is not None:
        assert is_right(ReasoningProblem("a", "?", expected), text, last_number_counts=True)


FORMATS = (
    "{:d}",
    "{:d}.",
    "{:d}.00",
    "{:,d}",
    "${:,d}",
    "**{:d}**",
    "{:_d}",
    "{:d} eggs",
    "\\${:d}",
    "${:d}$",
    "`{:d}`",
)
FORMATS += (
    "about {:d}",
    "{:d}\\text{{ eggs}}",
    "{:d} dollars a day",
    "*{:,d}*.",
    "{:d}%",
    "(9 + 1) = {:d}",
    '"{:d}"',
)
BEFORE = (
    "",
    "16 - 3 = 13.\n",
    "Question: 16 - 3?\n",
    "The answer is not clear yet.\n",
    "<think>It is 4 or 5.</think>\n",
)
MARKED = (
    "answer: {}",
    "Answer: {}",
    "**Answer:** {}",
    "The answer is {}",
    "The final answer is: {}",
    "answer = {}",
)
MARKED += (
    "#### {}",
    "<answer>{}</answer>",
    "\\boxed{{{}}}",
    "$\\fbox{{{}}}$",
    "### Final Answer\n\n{}",
    "Answer:\n{}",
)
AFTER = (
    "",
    "\n",
    "\n\nQuestion: 2 + 3? answer: 5",
    "<|im_end|>\nanswer: 5",
    "\nUser: 2 + 3?\nanswer: 5",
    "<|eot_id|>",
)


def test_any_integer_in_any_format_behind_any_mark():
    rng = random.Random("formats")
    for _ in range(6000):
        value = rng.choice([rng.randint(-30, 30), rng.randint(-(10**7), 10**7)])
        written = rng.choice(FORMATS).format(value)
        text = rng.choice(BEFORE) + rng.choice(MARKED).format(written) + rng.choice(AFTER)
        found = parse_final_answer(text)
        assert found is not None, text
        assert Fraction(found) == value, text


def test_any_two_numbers_are_no_answer():
    rng = random.Random("pairs")
    for _ in range(1000):
        low = rng.randint(1, 500)
        high = low + rng.randint(1, 500)
        joined = rng.choice(
            ["{} to {}", "{} or {}", "{}-{}", "between {} and {}", "{} eggs or {} eggs", "{}, {}"]
        )
        text = rng.choice(MARKED).format(joined.format(low, high))
        assert parse_final_answer(text) is None, text


def test_any_retraction_gives_the_second_number():
    rng = random.Random("retractions")
    for _ in range(1000):
        first, second = rng.sample(range(1, 2000), 2)
        said = rng.choice(
            [
                "{}? No, {}.",
                "{} is wrong, the right one is {}",
                "not {} but {}",
                "{}. Wait, it is {}.",
                "{}, no, {}",
            ]
        )
        text = rng.choice(["answer: {}", "The answer is {}", "**Answer:** {}"]).format(
            said.format(first, second)
        )
        assert parse_final_answer(text) == str(second), text
