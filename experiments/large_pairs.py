"""What would the search of a 70B pair take, on GPUs that hold it and on GPUs that do not?

The script counts memory and time for the shape of Llama-3.1-70B in bfloat16, from the search's own plan. Nothing is
measured: the speed of a GPU is the assumed one of an H100, and the options give the other speeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from slr.costs.large_pairs import LLAMA_70B, Machine, PairShape, count_resident, count_streamed
from slr.runs.speed import KNOWN_SPEEDS
from slr.terminal.command_line import number, run_function, whole_numbers
from slr.terminal.tables import print_sentence, print_table

GB = 1e9
Cards = Annotated[str, typer.Option(metavar="N,...", help="numbers of GPUs, comma-separated")]
Card = Annotated[float, typer.Option(parser=number, metavar="GB", help="memory of a GPU")]
Read = Annotated[
    float,
    typer.Option(parser=number, metavar="GB/S", help="speed at which all processes together read files"),
]
Copy = Annotated[
    float,
    typer.Option(parser=number, metavar="GB/S", help="speed at which a GPU takes data from host or GPU"),
]


def count(cards: Cards = "1,2,4,8", card: Card = 80, read: Read = 5, copy: Copy = 25) -> None:
    """Print memory and time of scoring every interval."""
    shape = PairShape.of(LLAMA_70B)
    machine = Machine(
        card_bytes=card * GB,
        flops_per_second=KNOWN_SPEEDS["cuda"].forward,
        read_bytes_per_second=read * GB,
        copy_bytes_per_second=copy * GB,
    )
    rows = []
    for num_cards in whole_numbers(cards, "--cards"):
        for way, count_way in (("device map", count_resident), ("streamed", count_streamed)):
            found = count_way(shape, machine, num_cards)
            if found is None:
                rows.append((way, num_cards, "does not fit", "", "", "", ""))
                continue
            rows.append(
                (
                    way,
                    num_cards,
                    f"{found.weight_bytes / GB:.1f}",
                    found.num_passes,
                    f"{found.moved_bytes / GB:,.0f}",
                    f"{found.compute_seconds:,.0f}",
                    f"{found.seconds:,.0f}",
                )
            )
    print_sentence(
        f"Two models of {shape.model_bytes / GB:.1f} GB, {shape.tree_tokens:,} tokens in the tree, "
        f"{shape.state_bytes / 1e6:.1f} MB a state."
    )
    print_table(("layers", "GPUs", "weights, GB", "passes", "moved, GB", "computing, s", "search, s"), rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(count, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
