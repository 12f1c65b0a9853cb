"""Models that were compiled before they are watched."""

import sys

from torch import nn


def forget_compiled_code(model: nn.Module) -> None:
    """Make a model that ran compiled before be compiled once more, with the hooks that it has now.

    A graph that was made without hooks runs without them. Only code that begins in the model's own
    modules is found: of a compiled function that calls the model, the layers are never observed,
    and the snapshot names them. Other models of the same classes are compiled once more too.

    Args:
        model: As it was given, compiled or not.
    """
    if "torch._dynamo.eval_frame" not in sys.modules:
        return
    from torch._C._dynamo.eval_frame import reset_code

    functions: list[object] = [type(module).forward for module in model.modules()]
    # Where the root is one of torch's own modules, compiled code begins in a function around it.
    functions.append(getattr(model.forward, "__wrapped__", None))
    for code in {getattr(function, "__code__", None) for function in functions}:
        if code is not None:
            reset_code(code)
