"""The page as Gradio serves it, with words for what a request got wrong."""

import inspect
from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction


class Page(gr.Blocks):  # type: ignore[misc]  # Gradio tells its types to nobody
    """Gradio's page, which by itself wants every input of a request, and shows a wrong one on the server's terminal as
    if it were a defect.

    Here a request may leave out the last inputs that have defaults, and what it got wrong is told to whoever sent it,
    and to nobody else.
    """

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], *others: Any, **options: Any
    ) -> list[Any]:
        """The inputs of a function out of those of a request."""
        try:
            given = complete(block_fn, inputs)
            processed: list[Any] = await super().preprocess_data(block_fn, given, *others, **options)
        except gr.Error as error:
            error.print_exception = False
            raise
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return processed


def complete(block_fn: BlockFunction, inputs: list[Any]) -> list[Any]:
    """The inputs, and the defaults of those that are missing at their end.

    Raises:
        ValueError: where one of these has none.
    """
    if block_fn.fn is None or len(inputs) >= len(block_fn.inputs):
        return inputs
    # Behind those of the page's parts there may be others that Gradio itself fills, such as the request.
    wanted = list(inspect.signature(block_fn.fn).parameters.values())[: len(block_fn.inputs)]
    missing = wanted[len(inputs) :]
    if any(each.default is inspect.Parameter.empty for each in missing):
        least = sum(each.default is inspect.Parameter.empty for each in wanted)
        names = ", ".join(each.name for each in wanted)
        raise ValueError(f"{len(inputs)} inputs are too few: expected at least {least} of {names}")
    return [*inputs, *(each.default for each in missing)]
