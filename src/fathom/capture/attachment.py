"""The hooks on one model, and how they come off."""

import weakref
from collections.abc import Callable

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fathom.capture.hooks import Hook


class Attachment:
    """The hooks of one capture; it keeps neither the model nor the capture alive."""

    def __init__(self, root: nn.Module, token: Tensor):
        """Begin without hooks.

        Args:
            root: The watched model.
            token: Shared by all hooks of this capture, and by no other.
        """
        self._root = weakref.ref(root)
        self._token = token
        self._handles: list[RemovableHandle] = []

    def before(self, module: nn.Module, hook: Callable[..., None]) -> None:
        """Have a hook called before a module, with its keyword arguments.

        Args:
            module: A part of the model.
            hook: The hook.
        """
        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def after(
        self, module: nn.Module, hook: Callable[..., None], *, always: bool = False
    ) -> RemovableHandle:
        """Have a hook called with what a module returns.

        Args:
            module: A part of the model.
            hook: The hook.
            always: After an exception too.

        Returns:
            What takes this hook off alone.
        """
        handle = module.register_forward_hook(hook, always_call=always)
        self._handles.append(handle)
        return handle

    def detach(self) -> None:
        """Take every hook off the model, those too that torch has passed on to new modules."""
        while self._handles:
            self._handles.pop().remove()
        # Dynamic quantisation in place puts new modules there, with the hooks of the old ones.
        root = self._root()
        for module in () if root is None else root.modules():
            for hooks, flags in (
                (module._forward_pre_hooks, [module._forward_pre_hooks_with_kwargs]),
                (module._forward_hooks, [module._forward_hooks_always_called]),
            ):
                for number, hook in list(hooks.items()):
                    if isinstance(hook, Hook) and hook.token is self._token:
                        handle = RemovableHandle(hooks, extra_dict=flags)
                        handle.id = number
                        handle.remove()
