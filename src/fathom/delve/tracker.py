"""Delve's tracker: `fathom.watch` underneath, Delve's files above."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import distributed, nn

from fathom.delve.arguments import asked, tell, writers_of
from fathom.delve.folder import close_earlier, prepare, run_folders, take_place
from fathom.delve.layers import Named, filtered, names_by_root, roots_of, tracked_layers
from fathom.delve.metrics import Metrics
from fathom.delve.numbers import Numbers
from fathom.delve.watching import Watching
from fathom.delve.writers import CompositWriter, CSVWriter, PrintWriter, TensorBoardWriter
from fathom.errors import ArgumentError, whole_number
from fathom.reading import PHASES


class SaturationTracker:
    """Tracks layers as Delve's class of this name does, with the numbers of `fathom.watch`.

    Beside Delve's files the folder holds a run, `<savefile>/fathom`, for `fathom show` and all else
    that reads one. Another class of layers, budgets and many more ways: use `fathom.watch` itself.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> folder = tempfile.mkdtemp() + "/experiment"
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
        >>> tracker = SaturationTracker(folder, save_to="csv", modules=model)
        >>> _ = model(torch.randn(100, 4))
        >>> tracker.add_scalar("accuracy", 0.5)
        >>> tracker.add_saturations()
        >>> tracker.close()
        >>> print(Path(folder + ".csv").read_text().splitlines()[0])
        ;accuracy;train-saturation_0;train-saturation_1
    """

    def __init__(
        self,
        savefile: str | os.PathLike[str],
        save_to: Any,
        modules: nn.Module | Sequence[nn.Module],
        layer_filter: Callable[[Named], Named] = lambda layers: layers,
        writer_args: Mapping[str, Any] | None = None,
        log_interval: int = 1,
        max_samples: int | None = None,
        stats: Sequence[str] = ("lsat",),
        layerwise_sat: bool = True,
        reset_covariance: bool = True,
        average_sat: bool = False,
        ignore_layer_names: Sequence[str] = (),
        include_conv: bool = True,
        conv_method: str = "channelwise",
        timeseries_method: str = "last_timestep",
        sat_threshold: float = 0.99,
        nosave: bool = False,
        verbose: bool = False,
        device: Any = None,
        initial_epoch: int = 0,
        interpolation_strategy: str | None = None,
        interpolation_downsampling: int = 32,
    ):
        """Watch the layers; the arguments and their order are Delve's.

        Args:
            savefile: The folder of what is written; a table is written beside it.
            save_to: `csv`, `plot`, `plotcsv`, `npy`, `tensorboard`, `print`, an object with the
                methods of `fathom.delve.writers.AbstractWriter`, or a list of these.
            modules: The model, or a list of modules.
            layer_filter: Takes the layers by name, and returns those to track.
            writer_args: For the writers: `zip`, `primary_metric`, `figsize`, `fontsize`,
                `plot_manipulation_func`.
            log_interval: Observe every k-th call of the model, in each phase.
            max_samples: Stop a layer's epoch at so many samples.
            stats: Some of `lsat`, `idim`, `cov`, `det`, `trc`, `dtrc`; `embed` is left out.
            layerwise_sat: Write the numbers of layers.
            reset_covariance: Not followed: every epoch begins anew.
            average_sat: Write `average-train-sat` and `average-eval-sat`, too.
            ignore_layer_names: Layers to leave out.
            include_conv: False to leave convolutions out.
            conv_method: `channelwise`, `mean`, `max`, `median` or `flatten`.
            timeseries_method: `last_timestep` or `timestepwise`: what is a row of an LSTM.
            sat_threshold: Fraction of the variance that saturation stands for.
            nosave: Write nothing at all.
            verbose: Print the numbers, too.
            device: Not used: layers are measured where they are.
            initial_epoch: The first epoch; not 0 to go on with what lies at `savefile`, from which
                this epoch and later ones are dropped.
            interpolation_strategy: None, or `bilinear` to reduce large feature maps.
            interpolation_downsampling: To so many positions a side.

        Raises:
            ArgumentError: If an argument is outside its rule, or what lies at `savefile` is not to
                be gone on with.
            MissingExtraError: If a writer needs a package that is not installed.
            RunError: If nothing can be written.
        """
        request = asked(
            stats=stats,
            log_interval=log_interval,
            max_samples=max_samples,
            conv_method=conv_method,
            timeseries_method=timeseries_method,
            sat_threshold=sat_threshold,
            reset_covariance=reset_covariance,
            interpolation_strategy=interpolation_strategy,
            interpolation_downsampling=interpolation_downsampling,
        )
        savefile = os.fspath(savefile)
        self._epoch = whole_number(initial_epoch, where="SaturationTracker: initial_epoch")
        if self._epoch < 0:
            raise ArgumentError(
                f"SaturationTracker: initial_epoch must be >= 0, got {initial_epoch}. Pass 0."
            )
        roots = roots_of(modules)
        self.layers = filtered(
            tracked_layers(
                roots, include_conv=include_conv, listed=not isinstance(modules, nn.Module)
            ),
            layer_filter,
            ignore_layer_names,
        )
        names = names_by_root(roots, self.layers)
        pairs = [(root, own) for root, own in zip(roots, names, strict=True) if own]
        self.stats = list(request.stats)
        self.record = True
        self.layerwise_sat, self.average_sat = layerwise_sat, average_sat
        # Delve has its arguments as attributes.
        self.log_interval, self.max_samples = log_interval, max_samples
        self.include_conv, self.ignore_layer_names = include_conv, ignore_layer_names
        self.conv_method, self.timeseries_method = conv_method, timeseries_method
        self.interpolation_strategy = interpolation_strategy
        self.interpolation_downsampling = interpolation_downsampling
        self.threshold, self.reset_covariance = sat_threshold, reset_covariance
        self.nosave, self.verbose, self.device = nosave, verbose, device
        self.initial_epoch = self._epoch
        # Of many processes the first alone writes: all of them have the same numbers.
        self._writes = not nosave and not _is_another_rank()
        self._metrics = Metrics(self._epoch, tells=self._writes)
        writers = writers_of(save_to, {**(writer_args or {}), "savepath": savefile})
        with_matrices = not nosave and any(map(_takes_matrices, writers))
        if "cov" in self.stats and not (with_matrices or nosave):
            request.notes.append("No writer takes the matrices of 'cov': add 'npy' to save_to.")
        written = [stat for stat in self.stats if stat != "cov" or with_matrices]
        self._numbers = Numbers(written, self._epoch)
        self._with_covariances = "cov" in written
        if verbose and not any(isinstance(each, PrintWriter) for each in writers):
            writers.append(PrintWriter())
        if nosave:
            writers = [each for each in writers if verbose and isinstance(each, PrintWriter)]
        if _is_another_rank():
            writers = []
        else:
            tell(request.notes)
        self.writer = CompositWriter(writers)
        if not nosave:
            close_earlier(savefile)
        if self._writes:
            prepare(savefile, initial_epoch=self._epoch)
            if self._epoch:
                self.writer.resume_from_saved_state(self._epoch)
                self._numbers.know(self.layers, self.writer.columns)
        watched = [root for root, _ in pairs]
        places = run_folders(savefile, roots, watched, initial_epoch=self._epoch)
        self._watching = Watching(
            watched,
            [own for _, own in pairs],
            [{} for _ in watched] if nosave else places,
            keep="covariance" if self._with_covariances else "spectrum",
            **request.watch,
        )
        if not nosave:
            take_place(savefile, self)

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        """Write a number of your own for this epoch; the run has it as a metric.

        Args:
            name: Its column.
            value: The number.
            **kwargs: For the writers.
        """
        # A name that is a number is a column like another.
        name = f"{name}"
        self._metrics.add(name, value)
        self.writer.add_scalar(name, value, **kwargs)

    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Write several numbers of your own for this epoch; the run has them as metrics.

        Args:
            prefix: Goes before the names, in files and prints but not in tables.
            value_dict: Names to numbers.
            **kwargs: For the writers.
        """
        named = {f"{name}": value for name, value in value_dict.items()}
        for name, value in named.items():
            self._metrics.add(name, value)
        self.writer.add_scalars(prefix, named, **{"sample_value_dict": {}, **kwargs})

    def add_saturations(self, save: bool = True) -> None:
        """Measure all layers over what was seen since the last call, and end the epoch.

        Args:
            save: Bring the files to the disk, too; else that is for `save()`.

        Raises:
            ClosedError: If the tracker is closed.
        """
        snapshot = self._watching.snapshot(self._epoch, self._metrics.present())
        wanted = self._with_covariances and self._writes
        matrices = self._watching.covariances(self._epoch) if wanted else {}
        for columns in self._numbers.of(snapshot, matrices):
            if self.layerwise_sat:
                self.writer.add_scalars(prefix="", value_dict=columns, sample_value_dict={})
        if self.average_sat:
            for phase in PHASES:
                average = snapshot.average_saturation(phase)
                self.writer.add_scalar(f"average-{phase}-sat", average)
        self._epoch += 1
        self._metrics.end()
        if save:
            self.save()

    def save(self) -> None:
        """Bring to the disk what was added."""
        self.writer.save()

    def is_recording(self) -> bool:
        """Tell whether calls of the model count."""
        return self.record

    def stop(self) -> None:
        """Leave calls of the model out, until `resume()`."""
        self.record = False
        self._watching.pause()

    def resume(self) -> None:
        """Observe again."""
        self.record = True
        self._watching.resume()

    @property
    def closed(self) -> bool:
        """Whether it watches no more."""
        return self._watching.closed

    def close(self) -> None:
        """Take the hooks off the model, and close all files."""
        self._watching.close()
        self.writer.close()

    def __getattr__(self, name: str) -> Any:
        """Return what a writer has, as Delve does: `value_dict`, or your own `add_figure`.

        Args:
            name: Public.

        Returns:
            Of a method that begins with `add_`, a function that calls it in every writer that has
            it; else the attribute of the first such writer.

        Raises:
            AttributeError: If no writer has it.
        """
        writer: Any = self.__dict__.get("writer")
        if writer is not None and not name.startswith("_"):
            having = [each for each in writer.writers if hasattr(each, name)]
            if name.startswith("add_") and (having or not self._writes):
                return partial(writer.call, name)
            if having:
                return getattr(having[0], name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        """Say in a line what is tracked."""
        return f"{type(self).__name__}({len(self.layers)} layers, epoch {self._epoch})"


class CheckLayerSat(SaturationTracker):
    """`SaturationTracker`, by the name that it had before."""


def _takes_matrices(writer: object) -> bool:
    return not isinstance(writer, CSVWriter | PrintWriter | TensorBoardWriter)


def _is_another_rank() -> bool:
    return (
        distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0
    )
